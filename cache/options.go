package cache

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/absent"
)

// Options configure a [Service]. The zero value of a field means its default. So does an interface
// that holds nil. The fields with a koanf tag are the keys of the configuration section `cache`. A
// Service copies its Options, so a change after NewService has no effect.
//
// A strategy reads the limits that concern it in Init, with Resolve[driver.Limits].
type Options struct {
	// Namespace separates applications that share one storage. It is part of every key and tag. It
	// may hold any bytes, up to 1 KiB. Default "app", which is refused if the strategy is
	// driver.Shared.
	Namespace string `koanf:"namespace,public"`
	// DefaultTTL is the TTL of an entry that is stored without one. Default: MaxTTL. No duration of
	// Options may be between zero and a millisecond.
	DefaultTTL time.Duration `koanf:"default_ttl"`
	// MaxTTL caps every TTL: a longer one is shortened to it. Default 720h.
	MaxTTL time.Duration `koanf:"max_ttl"`
	// MaxKeyBytes limits a key or tag, without the namespace. At most 32KiB. Default 1KiB.
	MaxKeyBytes driver.Size `koanf:"max_key_bytes"`
	// MaxValueBytes limits an encoded value, when it is stored and when it is read. With a codec
	// that compresses, it limits a value both before and after compression. At most 512MiB. Default
	// 1MiB.
	MaxValueBytes driver.Size `koanf:"max_value_bytes"`
	// MaxTags limits the tags of one entry. At most 4096. Default 256.
	MaxTags int `koanf:"max_tags"`
	// Timeout is the deadline of each single operation on the strategy. A read that takes longer
	// fails, which GetOrLoad treats as a miss. Default 50ms.
	Timeout time.Duration `koanf:"timeout"`
	// LockWait is how long GetOrLoad waits while somebody else holds the lease on its key. After
	// that it loads without storing. Default 2s. With NoLockWait it does not wait, and
	// Service.Options has 0.
	LockWait time.Duration `koanf:"lock_wait"`
	// MaxConcurrentLoads limits the loaders that run because the strategy fails. Without a limit,
	// an outage of the cache would become one of the database. Further loaders wait in the order in
	// which they came. They give up when their callers leave, and after ten seconds with
	// ErrOverloaded.
	//
	// The same number of loaders may run in the background, to refresh entries. Further refreshes
	// are not started. Both limits exist twice: once for the caches with Policy.Reserved, and once
	// for all others. Default 100.
	MaxConcurrentLoads int `koanf:"max_concurrent_loads"`
	// MaxPendingRevocations limits the revocations that are queued because the strategy fails. If
	// there are more, a single Clear replaces them all. If the strategy is not a driver.Clearer,
	// this Service then serves no hits until MaxTTL has passed. Default 10000.
	MaxPendingRevocations int `koanf:"max_pending_revocations"`
	// BreakerFailures is how many reads, leases and fills have to fail before the circuit breaker
	// opens. The Service then stops asking the strategy for up to BreakerPause. The failures must
	// go on for at least ten Timeouts, with fewer than one success in ten operations. If more than
	// four times BreakerFailures operations are under way, a quarter of those has to fail. For
	// example, with the default and 200 operations under way, 50 have to fail. Revocations are
	// always tried. Default 10.
	BreakerFailures int `koanf:"breaker_failures"`
	// BreakerPause is the longest time for which an open circuit breaker leaves the strategy alone
	// before one operation tries it again. The first pause is a sixteenth of it. Each try that
	// fails doubles the pause. Each success lets one more operation run at the same time. Default
	// 1s.
	BreakerPause time.Duration `koanf:"breaker_pause"`

	// Handover is how long all nodes take to see a change of the configuration, at most. A storage
	// that replaces another one while the application runs is used after that long, and the old one
	// is told of revocations for as long again. Default 30s.
	Handover time.Duration `koanf:"handover"`

	// StrategyName is what errors and metrics call the strategy. Default: its Go type.
	StrategyName string `koanf:"-"`
	// Codec encodes the values of types that do not encode themselves. Default JSON.
	Codec Codec `koanf:"-"`
	// Clock tells the current time, for TTLs and for expiry. Default driver.SystemClock.
	Clock driver.Clock `koanf:"-"`
	// Logger receives warnings, for example about a strategy that fails, or a loader that fails in
	// the background. Each kind is logged at most once in ten seconds. A warning quotes the error
	// as it is. Service itself adds no key and no value, except that a loaded value that cannot be
	// stored is named by its own LogValue, if it is a slog.LogValuer. Default slog.Default().
	Logger *slog.Logger `koanf:"-"`
	// MeterProvider makes the instruments that report what Stats reports. Default: OpenTelemetry's
	// global one.
	MeterProvider metric.MeterProvider `koanf:"-"`
}

const defaultNamespace = "app"

// NoLockWait is the [Options.LockWait] that does not wait. The configuration has lock_wait: 0s.
const NoLockWait = time.Duration(math.MinInt64)

// WithDefaults returns a copy of o in which every zero field is replaced by its default. The
// exceptions are DefaultTTL, whose zero means MaxTTL, and StrategyName, which NewService fills in.
func (o Options) WithDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = defaultNamespace
	}
	if o.MaxTTL == 0 {
		o.MaxTTL = 720 * time.Hour
	}
	if o.MaxKeyBytes == 0 {
		o.MaxKeyBytes = driver.KiB
	}
	if o.MaxValueBytes == 0 {
		o.MaxValueBytes = driver.MiB
	}
	if o.MaxTags == 0 {
		o.MaxTags = 256
	}
	if o.Timeout == 0 {
		o.Timeout = 50 * time.Millisecond
	}
	if o.LockWait == 0 {
		o.LockWait = 2 * time.Second
	}
	if o.MaxConcurrentLoads == 0 {
		o.MaxConcurrentLoads = 100
	}
	if o.MaxPendingRevocations == 0 {
		o.MaxPendingRevocations = 10_000
	}
	if o.BreakerFailures == 0 {
		o.BreakerFailures = 10
	}
	if o.BreakerPause == 0 {
		o.BreakerPause = time.Second
	}
	if o.Handover == 0 {
		o.Handover = 30 * time.Second
	}
	if absent.Is(o.Codec) {
		o.Codec = JSON{}
	}
	if absent.Is(o.Clock) {
		o.Clock = driver.SystemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if absent.Is(o.MeterProvider) {
		o.MeterProvider = otel.GetMeterProvider()
	}
	return o
}

// inherit fills the zero fields of a further store's options with those of the Service.
func (o Options) inherit(common Options) Options {
	name := o.StrategyName
	o.Codec, o.Clock, o.Logger, o.MeterProvider = nil, nil, nil, nil
	own, all := reflect.ValueOf(&o).Elem(), reflect.ValueOf(common)
	for i := range own.NumField() {
		if field := own.Field(i); field.IsZero() {
			field.Set(all.Field(i))
		}
	}
	o.StrategyName = name
	return o
}

// Validate returns one [OptionError] for each unusable value, joined with errors.Join. It expects
// that the defaults are filled in: the zero Options are not valid.
func (o Options) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		errs = append(errs, &OptionError{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	if o.Namespace == "" {
		report("namespace", "must not be empty")
	}
	if limit := int(driver.KiB); len(o.Namespace) > limit {
		report("namespace", "must not be longer than %d bytes", limit)
	}
	if o.MaxTTL <= 0 {
		report("max_ttl", "must be positive, not %v", o.MaxTTL)
	} else if o.DefaultTTL > o.MaxTTL {
		report("default_ttl", "must not exceed max_ttl (%v), not %v", o.MaxTTL, o.DefaultTTL)
	}
	if o.DefaultTTL < 0 {
		report("default_ttl", "must not be negative (0s means max_ttl), not %v", o.DefaultTTL)
	}
	for _, size := range []struct { // sizes and counts
		name         string
		value, limit driver.Size
	}{
		{"max_key_bytes", o.MaxKeyBytes, 32 * driver.KiB},
		{"max_value_bytes", o.MaxValueBytes, 512 * driver.MiB},
		{"max_tags", driver.Size(o.MaxTags), 4096},
		{"max_concurrent_loads", driver.Size(o.MaxConcurrentLoads), 1 << 20},
		{"max_pending_revocations", driver.Size(o.MaxPendingRevocations), 1 << 20},
		{"breaker_failures", driver.Size(o.BreakerFailures), 1 << 20},
	} {
		if size.value <= 0 || size.value > size.limit {
			report(size.name, "must be between 1 and %d, not %d", size.limit, size.value)
		}
	}
	for _, duration := range []struct {
		name  string
		value time.Duration
	}{
		{"default_ttl", o.DefaultTTL}, {"max_ttl", o.MaxTTL}, {"timeout", o.Timeout}, {"lock_wait", o.LockWait}, {"breaker_pause", o.BreakerPause}, {"handover", o.Handover},
	} {
		if reason := driver.TooShort(duration.value); reason != "" {
			report(duration.name, "%s", reason)
		}
	}
	if o.Timeout <= 0 {
		report("timeout", "must be positive, not %v", o.Timeout)
	}
	if o.LockWait < 0 && o.LockWait != NoLockWait {
		report("lock_wait", "must not be negative, not %v", o.LockWait)
	}
	if o.Handover <= 0 || o.Handover > time.Hour {
		report("handover", "must be positive and at most %v, not %v", time.Hour, o.Handover)
	}
	if o.BreakerPause <= 0 {
		report("breaker_pause", "must be positive, not %v", o.BreakerPause)
	}
	return errors.Join(errs...)
}

// Limits returns the part of the options that a strategy gets to see. The strategy finds it in
// Init, with Resolve[driver.Limits].
func (o Options) Limits() driver.Limits {
	return driver.Limits{
		KeyPrefix: o.KeyPrefix(), MaxTTL: o.MaxTTL, MaxKeyBytes: o.MaxKeyBytes, MaxValueBytes: o.MaxValueBytes,
		MaxTags: o.MaxTags, Timeout: o.Timeout,
	}
}

// KeyPrefix returns what Service puts before each key and tag: the namespace and a ':'. In the
// namespace, ':' and '%' are escaped, so that the first ':' always ends it. For example, the
// namespace "a:b" becomes "a%3Ab:". So two different pairs of namespace and name never get the same
// physical name, and a strategy can take the namespace off again.
func (o Options) KeyPrefix() string {
	return strings.NewReplacer("%", "%25", ":", "%3A").Replace(o.Namespace) + ":"
}
