package fxcache_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// openDatabase opens a fake database that answers "SELECT 1". A real one, such as SQLite, would
// become a requirement of every user of this module. The app module has a real one.
func openDatabase() *sql.DB { return sql.OpenDB(database{}) }

// database is the driver, the connector and each connection.
type database struct{}

func (d database) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d database) Driver() driver.Driver                        { return d }
func (d database) Open(string) (driver.Conn, error)             { return d, nil }
func (database) Close() error                                   { return nil }
func (database) Begin() (driver.Tx, error)                      { return nil, errors.ErrUnsupported }
func (database) Prepare(string) (driver.Stmt, error)            { return nil, errors.ErrUnsupported }

func (database) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if query != "SELECT 1" {
		return nil, errors.ErrUnsupported
	}
	return &one{}, nil
}

// one is the result: one row with the number 1.
type one struct{ read bool }

func (*one) Columns() []string { return []string{"1"} }
func (*one) Close() error      { return nil }

func (o *one) Next(row []driver.Value) error {
	if o.read {
		return io.EOF
	}
	row[0], o.read = int64(1), true
	return nil
}
