package refreshing_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/cache/requestscope"
)

// There are few tax rates, and every price needs them.
func ExampleValue() {
	ctx := context.Background()
	table := map[string]int{"AT": 20, "DE": 19}
	rates, err := refreshing.New(func(context.Context) (map[string]int, error) {
		fmt.Println("SELECT * FROM tax_rates")
		return table, nil
	}, refreshing.Options{Name: "tax rates", TTL: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		all, err := rates.Get(ctx)
		fmt.Println(all["AT"], err)
	}
	table = map[string]int{"AT": 21, "DE": 19} // committed; now:
	all, err := rates.Refresh(ctx)
	fmt.Println(all["AT"], err)
	// Output:
	// SELECT * FROM tax_rates
	// 20 <nil>
	// 20 <nil>
	// SELECT * FROM tax_rates
	// 21 <nil>
}

// A derived result is kept as long as the value that it was derived from.
func ExampleDerive() {
	ctx := context.Background()
	rates, err := refreshing.New(func(context.Context) (map[string]int, error) {
		return map[string]int{"AT": 20, "DE": 19}, nil
	}, refreshing.Options{Name: "tax rates", TTL: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	factor := func(country string) (float64, error) {
		return refreshing.Derive(ctx, rates, country, func(_ context.Context, rates map[string]int) (float64, error) {
			fmt.Println("computing for", country)
			return 1 + float64(rates[country])/100, nil
		})
	}
	for _, country := range []string{"AT", "DE", "AT"} {
		f, err := factor(country)
		fmt.Println(f, err)
	}
	// Output:
	// computing for AT
	// 1.2 <nil>
	// computing for DE
	// 1.19 <nil>
	// 1.2 <nil>
}

// A middleware opens the scope. The code that handles the request need not pass the customer
// around.
func ExampleMemo() {
	type customerID int // a key of your own type cannot collide with other packages
	customer := func(ctx context.Context, id customerID) (string, error) {
		return requestscope.Memo(ctx, id, func(context.Context) (string, error) {
			fmt.Println("SELECT name FROM customers WHERE id =", int(id))
			return "Ada", nil
		})
	}
	ctx := requestscope.With(context.Background())
	for range 2 {
		name, err := customer(ctx, 7)
		fmt.Println(name, err)
	}
	// Output:
	// SELECT name FROM customers WHERE id = 7
	// Ada <nil>
	// Ada <nil>
}
