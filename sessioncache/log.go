package sessioncache

import "context"

// warning is a kind of warning. Each is logged once per throttle.Interval.
type warning int

const (
	ofRenewals warning = iota
	ofExpires
	ofTags
	warnings // how many kinds there are
)

// warn logs a warning, unless one of its kind was logged a moment ago. args must hold no token.
func (d *Default) warn(ctx context.Context, st *state, kind warning, message string, args ...any) {
	if suppressed, ok := d.throttles[kind].Pass(); ok {
		args = append([]any{"cache", d.options.Prefix, "suppressed", suppressed}, args...)
		st.service.Options().Logger.WarnContext(ctx, message, args...)
	}
}
