package cache

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/absent"
)

// Options configure a [Service]. The zero value of each field means its default, and so does an
// interface that holds nil. The fields with a koanf tag are the keys of the configuration section
// `cache`.
//
// A strategy finds what concerns it with Resolve[driver.Limits] in Init.
type Options struct {
	// Namespace separates applications that share one storage: it is part of every key and tag.
	// Any bytes but none is fine. Default "app", which is refused where the strategy is Shared.
	Namespace string `koanf:"namespace,public"`
	// DefaultTTL is the TTL of an entry that is stored without one. Default: MaxTTL.
	DefaultTTL time.Duration `koanf:"default_ttl"`
	// MaxTTL caps every TTL. Default 720h.
	MaxTTL time.Duration `koanf:"max_ttl"`
	// MaxKeyBytes limits a key or tag, the namespace not counted. Default 1KiB.
	MaxKeyBytes driver.Size `koanf:"max_key_bytes"`
	// MaxValueBytes limits an encoded value, when it is stored and when it is read. Default 1MiB.
	MaxValueBytes driver.Size `koanf:"max_value_bytes"`
	// MaxTags limits the tags of one entry. Default 64.
	MaxTags int `koanf:"max_tags"`
	// Timeout is the deadline of each single operation on the strategy; a read that takes longer is
	// a miss for GetOrLoad. Default 50ms.
	Timeout time.Duration `koanf:"timeout"`
	// LockWait is how long GetOrLoad waits for another holder of a key's lease before it loads
	// without storing. Default 2s.
	LockWait time.Duration `koanf:"lock_wait"`
	// MaxConcurrentLoads limits the loaders that run because the strategy fails, so that an outage
	// of the cache does not become one of the database. Further ones wait in the order in which
	// they came, until their callers leave, and after ten seconds get ErrOverloaded. As many may
	// run in the background, to refresh entries; further ones are not started. Caches with
	// Policy.Reserved, and the others, have so many each. Default 100.
	MaxConcurrentLoads int `koanf:"max_concurrent_loads"`
	// MaxPendingRevocations limits the revocations that are queued because the strategy fails; when
	// there are more, one Clear takes the place of all; where the strategy is no Clearer, this
	// Service serves no hits then until MaxTTL is over. Default 10000.
	MaxPendingRevocations int `koanf:"max_pending_revocations"`
	// BreakerFailures is how many reads, leases and fills have to fail for the Service to stop
	// asking the strategy for BreakerPause: over ten Timeouts at least, and with fewer than one
	// success in ten; where more than four times as many are under way, a quarter of those.
	// Revocations are always tried. Default 10.
	BreakerFailures int `koanf:"breaker_failures"`
	// BreakerPause is how long the strategy is left alone then, at the most, before one operation
	// tries it again: a sixteenth of it at first, and twice as long after each try that fails. Each
	// that succeeds makes room for one more. Default 1s.
	BreakerPause time.Duration `koanf:"breaker_pause"`

	// StrategyName is what errors and metrics call the strategy. Default: its Go type.
	StrategyName string `koanf:"-"`
	// Codec encodes values that do not encode themselves. Default JSON.
	Codec Codec `koanf:"-"`
	// Clock is "now". Default SystemClock.
	Clock driver.Clock `koanf:"-"`
	// Logger receives warnings about a failing strategy, or a loader that fails in the background,
	// at most one per kind and ten seconds. They hold the error as it is, and never a key or a
	// value of ours. Default slog.Default().
	Logger *slog.Logger `koanf:"-"`
	// MeterProvider makes the instruments behind Stats. Default: OpenTelemetry's global one.
	MeterProvider metric.MeterProvider `koanf:"-"`
}

const defaultNamespace = "app"

// WithDefaults returns o with every zero field replaced by its default.
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
		o.MaxTags = 64
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

// Validate reports every unusable value as an [OptionError], joined.
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
	for _, size := range []struct { // and counts
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
	if o.Timeout <= 0 {
		report("timeout", "must be positive, not %v", o.Timeout)
	}
	if o.LockWait < 0 {
		report("lock_wait", "must not be negative, not %v", o.LockWait)
	}
	if o.BreakerPause <= 0 {
		report("breaker_pause", "must be positive, not %v", o.BreakerPause)
	}
	return errors.Join(errs...)
}

// Limits is what a strategy is told of the options. It finds it with Resolve[driver.Limits] in
// Init.
func (o Options) Limits() driver.Limits {
	return driver.Limits{
		KeyPrefix: o.KeyPrefix(), MaxTTL: o.MaxTTL, MaxKeyBytes: o.MaxKeyBytes, MaxValueBytes: o.MaxValueBytes,
		MaxTags: o.MaxTags, Timeout: o.Timeout,
	}
}

// KeyPrefix is what Service puts before each key and tag: the namespace, in which ':' and '%' are
// escaped so that the first ':' always ends it, and a ':'. That makes (namespace, name) → physical
// name injective, and lets a strategy cut the namespace off again.
func (o Options) KeyPrefix() string {
	return strings.NewReplacer("%", "%25", ":", "%3A").Replace(o.Namespace) + ":"
}
