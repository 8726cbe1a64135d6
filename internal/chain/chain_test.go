package chain_test

import (
	"context"
	"testing"

	"github.com/fxcache/fxcache/internal/chain"
)

// step is one link of a chain. over means that it has ended.
type step struct {
	kind chain.Kind
	what any
	over bool
}

func TestRelation(t *testing.T) {
	t.Parallel()
	load, alone, write := step{chain.Load, "k", false}, step{chain.LoadAfterWait, "k", false}, step{chain.Write, "k", false}
	write7 := step{chain.Write, 7, false}
	other, transaction := step{chain.Load, 7, false}, step{chain.Transaction, nil, false}
	ended := func(s step) step { s.over = true; return s }
	for name, test := range map[string]struct {
		steps []step
		want  chain.Relation
	}{
		"nothing":                              {nil, chain.Apart},
		"another":                              {[]step{other}, chain.Apart},
		"a transaction":                        {[]step{transaction, other}, chain.Writing},
		"a load in a transaction":              {[]step{transaction, load}, chain.Loading},
		"a transaction in a load":              {[]step{load, transaction}, chain.Loading},
		"a transaction of a write in a load":   {[]step{load, write, transaction}, chain.Writing},
		"a load":                               {[]step{load}, chain.Loading},
		"a load alone":                         {[]step{alone}, chain.Loading},
		"a load, further out":                  {[]step{load, other, write7}, chain.Loading},
		"a write":                              {[]step{write}, chain.Writing},
		"a write, further out":                 {[]step{write, other}, chain.Writing},
		"a write in a write":                   {[]step{write, write}, chain.Writing},
		"a write in a load":                    {[]step{load, write}, chain.Writing},
		"a load in a write":                    {[]step{write, load}, chain.Loading},
		"the second load of a write in a load": {[]step{load, write, alone, write}, chain.Loading},
		"a load that ended":                    {[]step{ended(load)}, chain.Apart},
		"a load that ended, in a write":        {[]step{write, ended(load)}, chain.Writing},
		"a load that ended around another":     {[]step{ended(load), other}, chain.Apart},
	} {
		ctx := t.Context()
		var links []*chain.Link
		for _, s := range test.steps {
			var link *chain.Link
			ctx, link = chain.Enter(ctx, s.kind, s.what)
			links = append(links, link)
		}
		for i, s := range test.steps {
			if s.over {
				links[i].End()
			}
		}
		if got := chain.From(context.WithoutCancel(ctx)).To("k"); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	ctx, transaction := chain.Enter(t.Context(), chain.Transaction, nil)
	ctx, alone := chain.Enter(ctx, chain.LoadAfterWait, "k")
	ctx, _ = chain.Enter(ctx, chain.Write, "k")
	link := chain.From(ctx)
	if !link.InTransaction() || !link.HasWaited() {
		t.Error("what is further out is not seen")
	}
	alone.End()
	if link.HasWaited() {
		t.Error("a load that ended counts")
	}
	transaction.End()
	if link.InTransaction() {
		t.Error("a transaction that ended counts")
	}
}

func TestLeave(t *testing.T) {
	t.Parallel()
	if ctx := t.Context(); chain.Leave(ctx) != ctx {
		t.Error("a context that is within nothing was wrapped")
	}
	ctx, _ := chain.Enter(t.Context(), chain.Load, "k")
	if link := chain.From(chain.Leave(ctx)); link != nil {
		t.Errorf("it is within %v", link)
	}
}

// A context that is passed on from load to load does not accumulate all of them.
func TestEndedLinksAreDropped(t *testing.T) {
	t.Parallel()
	ctx, link := chain.Enter(t.Context(), chain.Load, "k")
	link.End()
	if link := chain.From(ctx); link != nil {
		t.Errorf("a link that is over is found: %v", link)
	}
}
