// Command hunt takes the guards of fxcache out, one after the other, and looks for what then goes wrong. It
// prints which checker found it, and after how much. It fails when a guard can be missing unnoticed, and
// when something is found although no guard is missing. `make sabotage` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/fxcache/fxcache/internal/sabotage"
)

func main() {
	limit := flag.Duration("limit", time.Minute, "how long one guard is searched for")
	only := flag.String("guard", "", "search for this guard only")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *limit, sabotage.Guard(*only))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sabotage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, limit time.Duration, only sabotage.Guard) error {
	if only != "" && !slices.Contains(sabotage.Guards(), only) {
		return fmt.Errorf("there is no guard %q; the guards are %q", only, sabotage.Guards())
	}
	folder, err := os.MkdirTemp("", "fxcache-sabotage-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }() // built anew each time
	built, err := build(ctx, folder)
	if err != nil {
		return err
	}
	// What finds something in code that has all its guards, would find it in any other.
	for _, s := range searches("") {
		found, _, err := built.try(ctx, s, "", 5*limit)
		switch {
		case err != nil:
			return fmt.Errorf("with no guard missing: %w", err)
		case found != nil:
			return fmt.Errorf("with no guard missing, %s found a violation:\n%s", found.by, found.text)
		}
	}
	fmt.Println("No guard missing: nothing found.")
	fmt.Println()
	fmt.Println("| guard | found by | after | seconds |")
	fmt.Println("|---|---|---|---|")
	var unnoticed []error
	for _, guard := range sabotage.Guards() {
		if only != "" && only != guard {
			continue
		}
		began := time.Now()
		found, err := built.hunt(ctx, guard, limit)
		seconds := time.Since(began).Seconds()
		if err != nil {
			unnoticed = append(unnoticed, fmt.Errorf("%s: %w", guard, err))
			fmt.Printf("| %s | **nothing** | | %.2f |\n", guard, seconds)
			continue
		}
		fmt.Printf("| %s | %s | %s | %.2f |\n", guard, found.by, found.after, seconds)
	}
	return errors.Join(unnoticed...)
}

// errNotFound says that a guard can be missing unnoticed.
var errNotFound = errors.New("nobody noticed that it is missing")

// hunt searches for one guard, within the limit.
func (b binaries) hunt(ctx context.Context, guard sabotage.Guard, limit time.Duration) (*finding, error) {
	failures := errNotFound
	for _, s := range searches(guard) {
		if limit < time.Second {
			break
		}
		found, took, err := b.try(ctx, s, guard, limit)
		if found != nil {
			return found, nil
		}
		if err != nil {
			failures = errors.Join(failures, err)
		}
		limit -= took
	}
	return nil, failures
}
