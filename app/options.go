package main

import (
	"flag"
	"fmt"
	"io"
)

// options are the options of the command line.
type options struct {
	address  string
	database string // empty: a temporary file
	config   string // empty: the defaults
	watch    bool
}

// parse reads the command line. It writes errors and the usage to output.
func parse(args []string, output io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.address, "addr", "127.0.0.1:8080", "listen on this `address`; port 0 takes any that is free")
	flags.StringVar(&o.database, "db", "", "keep the SQLite database in this `file` (default: a temporary one)")
	flags.StringVar(&o.config, "config", "", "read the configuration of the cache from this `file` (default: bigcache)")
	flags.BoolVar(&o.watch, "watch", false, "reload the configuration of the cache when its file changes, and on SIGHUP")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unexpected argument: %s", flags.Arg(0))
		_, _ = fmt.Fprintln(output, err)
		flags.Usage()
		return o, err
	}
	return o, nil
}
