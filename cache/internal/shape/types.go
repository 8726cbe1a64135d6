package shape

import (
	"fmt"
	"reflect"
	"slices"
)

// Plan is what the rules of a codec say about the values of a type.
type Plan struct {
	// Losses are what the type tells already.
	Losses []Loss
	// Check: what comes back depends on the value, so [Rules.Check] must see it.
	Check bool
	// Address: the codec must be given a pointer.
	Address bool
	// Nests: there are parts whose depth nobody knows before they are encoded.
	Nests bool
	// Verify: the codec must decode what it has encoded, and compare.
	Verify bool
}

// Plan returns the plan of a type. It is the same for every call.
func (r *Rules) Plan(t reflect.Type) *Plan {
	if known, ok := r.plans.Load(t); ok {
		return known.(*Plan)
	}
	plan := new(Plan)
	if t != nil {
		w := walker{rules: r, plan: plan, open: map[reflect.Type]bool{}, seen: map[visit]bool{}}
		w.typ(t, "T", true)
	}
	known, _ := r.plans.LoadOrStore(t, plan)
	return known.(*Plan)
}

type visit struct {
	t           reflect.Type
	addressable bool
}

// walker walks through a type once.
type walker struct {
	rules *Rules
	plan  *Plan
	open  map[reflect.Type]bool // those that it is within
	seen  map[visit]bool
}

func (w *walker) never(path, format string, args ...any) {
	w.plan.Losses = append(w.plan.Losses, Loss{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// typ looks at a type. addressable says whether the codec will be able to take the address of its
// values.
func (w *walker) typ(t reflect.Type, path string, addressable bool) {
	if w.open[t] { // it contains itself
		w.plan.Check = true
		return
	}
	if w.seen[visit{t, addressable}] {
		return
	}
	w.seen[visit{t, addressable}] = true
	w.open[t] = true
	defer delete(w.open, t)
	if slices.Contains(w.rules.Known, t) || w.encodesItself(t, path, addressable) {
		return
	}
	switch t.Kind() {
	case reflect.Interface:
		if t.NumMethod() > 0 {
			w.never(path, "is an interface with methods, %v: %s cannot know which type to decode; use that type", t, w.rules.Codec)
		}
		w.plan.Check = true
	case reflect.Pointer:
		if nilable(t.Elem()) {
			w.plan.Check = true
		}
		w.typ(t.Elem(), path, true)
	case reflect.Slice:
		w.typ(t.Elem(), path+"[]", true)
	case reflect.Array:
		w.typ(t.Elem(), path+"[]", addressable)
	case reflect.Map:
		w.key(t.Key(), path+"[key]")
		w.typ(t.Elem(), path+"[]", false)
	case reflect.Struct:
		w.structure(t, path, addressable)
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		w.never(path, "is a %v, which %s cannot encode", t.Kind(), w.rules.Codec)
	default:
	}
}

// encodesItself looks at the methods of a type, and reports whether its parts do not matter.
func (w *walker) encodesItself(t reflect.Type, path string, addressable bool) bool {
	to, from := w.rules.own(t, addressable)
	switch {
	case to == nil && from == nil:
		return false
	case to == from:
		w.plan.Losses = append(w.plan.Losses, Promoted(t, path, to)...)
		w.plan.Nests = w.plan.Nests || to.Nests
		w.plan.Address = w.plan.Address || !t.Implements(to.Marshal)
		return true
	case to == nil && !addressable && implements(t, from.Marshal):
		w.never(path, "has %s for its pointer only, which %s does not see in a map: store pointers", from.To, w.rules.Codec)
		return true
	case to == nil && w.rules.Verifies:
		w.plan.Verify = true
		return false
	case to == nil:
		w.never(path, "has %s without %s", from.From, from.To)
		return true
	default:
		w.never(path, "has %s without %s, so %s cannot decode it", to.To, to.From, w.rules.Codec)
		return true
	}
}

func (w *walker) key(t reflect.Type, path string) {
	if w.rules.Key == nil {
		w.typ(t, path, false)
		return
	}
	reason, depends := w.rules.Key(t)
	if w.plan.Verify = w.plan.Verify || depends; reason != "" {
		w.never(path, "%s", reason)
	}
}

func (w *walker) structure(t reflect.Type, path string, addressable bool) {
	kept, lost := w.rules.Fields(t)
	if len(kept) == 0 && len(lost) > 0 {
		w.never(path, "is a struct (%v) of which %s stores no field, and it has no encoding of its own for %s", t, w.rules.Codec, w.rules.Codec)
		return
	}
	for _, field := range lost {
		w.plan.Losses = append(w.plan.Losses, Loss{Path: path + "." + field.Path, Reason: field.Why + ", so it is lost", Dropped: true})
	}
	for _, field := range kept {
		if field.Never != "" {
			w.never(path+"."+field.Path, "%s", field.Never)
			continue
		}
		if field.Indirect {
			w.plan.Check = true
		}
		w.typ(field.Type, path+"."+field.Path, addressable || field.Indirect)
	}
}

func nilable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	default:
		return false
	}
}
