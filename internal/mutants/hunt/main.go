// Command hunt removes the guards of fxcache, one at a time, and runs the tests that should notice.
// It prints which test did, and after how much work. It fails if no test notices a missing guard,
// if a mutant is out of date or does not compile, or if a test fails with all guards in place.
// `make mutants` runs it, in the root of the repository.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/fxcache/fxcache/internal/mutants"
)

func main() {
	limit := flag.Duration("limit", time.Minute, "how long the tests may take to notice one guard")
	only := flag.String("guard", "", "take out this guard only")
	folder := flag.String("folder", "", "take out only the guards in files below this folder")
	workers := flag.Int("workers", runtime.NumCPU(), "how many guards are tried at the same time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, choose(*only, *folder), *limit, max(1, *workers))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// choose returns the selected mutants.
func choose(guard, folder string) []mutants.Mutant {
	return slices.DeleteFunc(mutants.All(), func(m mutants.Mutant) bool {
		return guard != "" && m.Guard != guard || folder != "" && !below(m.File, folder)
	})
}

func run(ctx context.Context, all []mutants.Mutant, limit time.Duration, workers int) error {
	if len(all) == 0 {
		return errors.New("there is no such guard; internal/mutants lists them")
	}
	h, err := newHunter(all, limit)
	if err != nil {
		return err
	}
	defer h.close()
	// A test that fails with all guards in place would count every mutant as found.
	if err := h.unmutated(ctx, all); err != nil {
		return err
	}
	fmt.Printf("No guard missing: nothing found.\n\n| guard | what it sees to | found by | after | seconds |\n|---|---|---|---|---|\n")
	var mu sync.Mutex // guards failures, and the output
	var failures []error
	var group sync.WaitGroup
	places := make(chan struct{}, workers)
	for _, m := range all {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			began := time.Now()
			found, err := h.hunt(ctx, m)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", m.Guard, err))
				found = finding{by: "**nobody**"}
			}
			fmt.Printf("| %s | %s | %s | %s | %.1f |\n", m.Guard, m.What, found.by, found.after, time.Since(began).Seconds())
		})
	}
	group.Wait()
	fmt.Printf("\n%d of %d guards found.\n", len(all)-len(failures), len(all))
	return errors.Join(failures...)
}
