package bench_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	_ "modernc.org/sqlite" // the driver

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/bench"
	"github.com/fxcache/fxcache/internal/redistest"
)

// product is a row of a table of 10,000, by its number.
type product struct {
	ID          int64  `json:"id"`
	Name        string `json:"name"`
	Slug        string `json:"slug"`
	Description string `json:"description"`
	Price       int64  `json:"price"`
	Stock       int64  `json:"stock"`
	Enabled     bool   `json:"enabled"`
}

const products = 10_000

// newProducts returns the database: SQLite, in a file, as that of app.
func newProducts(b *testing.B) *sql.DB {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "products.db"))
	must(b, err)
	b.Cleanup(func() { must(b, db.Close()) })
	_, err = db.ExecContext(b.Context(), `CREATE TABLE products
		(id INTEGER PRIMARY KEY, name TEXT, slug TEXT, description TEXT, price INTEGER, stock INTEGER, enabled INTEGER)`)
	must(b, err)
	tx, err := db.BeginTx(b.Context(), nil)
	must(b, err)
	for id := range products {
		_, err = tx.ExecContext(b.Context(), "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?)", id, fmt.Sprint("Product ", id),
			fmt.Sprint("product-", id), strings.Repeat("All about it. ", 10), id*7%10_000, id%100, true)
		must(b, err)
	}
	must(b, tx.Commit())
	return db
}

// selectProducts is one SELECT. The end of a key is the number of its product.
func selectProducts(ctx context.Context, db *sql.DB, keys []string) (map[string]product, error) {
	ids, keyOf := make([]any, len(keys)), make(map[int64]string, len(keys))
	for i, key := range keys {
		id, err := strconv.ParseInt(key[strings.LastIndexByte(key, ':')+1:], 10, 64)
		if err != nil {
			return nil, err
		}
		ids[i], keyOf[id] = id, key
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(ids)), ",")
	rows, err := db.QueryContext(ctx, "SELECT id, name, slug, description, price, stock, enabled FROM products WHERE id IN ("+marks+")", ids...) //nolint:gosec // question marks
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	found := make(map[string]product, len(keys))
	for rows.Next() {
		var p product
		if err := rows.Scan(&p.ID, &p.Name, &p.Slug, &p.Description, &p.Price, &p.Stock, &p.Enabled); err != nil {
			return nil, err
		}
		found[keyOf[p.ID]] = p
	}
	return found, rows.Err()
}

// byHand is what an application would write: MGET, one SELECT, and pipelined SETs of JSON.
func byHand(ctx context.Context, client rueidis.Client, db *sql.DB, keys []string) (map[string]product, error) {
	values := make(map[string]product, len(keys))
	replies, err := client.Do(ctx, client.B().Mget().Key(keys...).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	var missing []string
	for i, reply := range replies {
		raw, err := reply.AsBytes()
		if rueidis.IsRedisNil(err) {
			missing = append(missing, keys[i])
			continue
		}
		var p product
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		values[keys[i]] = p
	}
	loaded, err := selectProducts(ctx, db, missing)
	if err != nil {
		return nil, err
	}
	commands := make([]rueidis.Completed, 0, len(loaded))
	for key, p := range loaded {
		values[key] = p
		raw, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		commands = append(commands, client.B().Set().Key(key).Value(rueidis.BinaryString(raw)).Ex(time.Hour).Build())
	}
	for _, reply := range client.DoMulti(ctx, commands...) {
		if err := reply.Error(); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// BenchmarkLoadMany gets 100 products that are not in the cache, and reports how many times as long
// GetOrLoadMany takes as MGET, the same SELECT and pipelined SETs that are written by hand on bare
// rueidis. The contenders take turns in random order, in one run, on one server. A turn is ten
// calls, each with keys of its own, of random products. What a turn has stored is removed after it,
// outside the measured time, so that the server stays as small as it was. Each turn of fxcache is
// compared with the turn by hand beside it, and x-hand is the median of the ratios: 1,000 calls
// need -benchtime 100x, and 20,000 need -benchtime 2000x.
//
// The SELECT is the smallest part that a database can be: SQLite reads 100 rows by their primary
// keys from a file that the operating system has in memory, in this process, without a network. The
// longer a database takes, the closer to 1 is the ratio. So select-µs is reported as well, and
// x-cache is the ratio without it: what the cache spends beside what MGET and SETs spend. By hand
// there are no leases: two processes load the same rows, and a SET may store a row that another
// process has changed meanwhile.
func BenchmarkLoadMany(b *testing.B) {
	const keys, perRound = 100, 10
	ctx, addr, db := b.Context(), redistest.Start(b).Addr(), newProducts(b)
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true})
	must(b, err)
	defer client.Close()
	service, stop, err := bench.NewService(ctx, addr)
	must(b, err)
	defer func() { must(b, stop()) }()
	c, err := cache.New(service, "products", cache.Policy[product]{TTL: time.Hour})
	must(b, err)
	ways := map[string]func(keys []string) (map[string]product, error){
		"fxcache": func(keys []string) (map[string]product, error) {
			return c.GetOrLoadMany(ctx, keys, func(ctx context.Context, missing []string) (map[string]product, error) {
				return selectProducts(ctx, db, missing)
			})
		},
		"hand":   func(keys []string) (map[string]product, error) { return byHand(ctx, client, db, keys) },
		"select": func(keys []string) (map[string]product, error) { return selectProducts(ctx, db, keys) },
	}
	order, turns := rand.New(rand.NewPCG(1, 2)), 0
	remove := map[string]func(keys []string) error{
		"fxcache": func(keys []string) error { return c.Delete(ctx, keys...) },
		"hand":    func(keys []string) error { return client.Do(ctx, client.B().Unlink().Key(keys...).Build()).Error() },
		"select":  func([]string) error { return nil },
	}
	turn := func(way string) float64 {
		var spent time.Duration
		var stored []string
		for range perRound {
			turns++
			all := make([]string, keys)
			for i, id := range order.Perm(products)[:keys] {
				all[i] = fmt.Sprint(way, turns, ":", id)
			}
			began := time.Now()
			values, err := ways[way](all)
			spent += time.Since(began)
			if err != nil || len(values) != keys {
				b.Fatalf("%s: %d values, %v", way, len(values), err)
			}
			stored = append(stored, all...)
		}
		must(b, remove[way](stored))
		return float64(spent.Microseconds()) / perRound
	}
	names, spent := []string{"fxcache", "hand", "select"}, map[string][]float64{}
	for _, name := range names {
		turn(name) // connections are made, scripts known
	}
	for b.Loop() {
		for _, i := range order.Perm(len(names)) {
			spent[names[i]] = append(spent[names[i]], turn(names[i]))
		}
	}
	b.ReportMetric(0, "ns/op")
	var ratios, without []float64
	for i, hand := range spent["hand"] {
		ratios = append(ratios, spent["fxcache"][i]/hand)
		without = append(without, (spent["fxcache"][i]-spent["select"][i])/max(1, hand-spent["select"][i]))
	}
	for _, name := range names {
		b.ReportMetric(median(spent[name]), name+"-µs")
	}
	b.ReportMetric(median(ratios), "x-hand")
	b.ReportMetric(median(without), "x-cache")
}
