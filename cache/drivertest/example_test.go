package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A Recorder shows which operations code makes on a strategy, and how the code behaves if the
// storage fails.
func ExampleRecord() {
	ctx := context.Background()
	strategy, recorder := drivertest.Record(newReference())
	recorder.FailNext(drivertest.OpGet, 1, errors.New("connection refused"))

	_, _, err := strategy.Get(ctx, "shop:user:42")
	fmt.Println(err)
	_ = strategy.Set(ctx, "shop:user:42", []byte("Ada"), driver.SetOptions{TTL: time.Minute})
	for _, operation := range recorder.Operations() {
		fmt.Println(operation.Name, operation.Keys)
	}
	// Output:
	// connection refused
	// get [shop:user:42]
	// set [shop:user:42]
}

// A Clock moves only when told to.
func ExampleNewClock() {
	clock := drivertest.NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	clock.Advance(90 * time.Minute)
	fmt.Println(clock.Now().Format(time.TimeOnly))
	// Output: 13:30:00
}
