package filewatch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options are the options of a Watcher. Zero values mean the defaults.
type Options struct {
	// Poll is how often the files are read without a notification. Default: 30s.
	Poll time.Duration
	// Settle is how long a content has to stay the same before it is handed on. Default: 250ms.
	Settle time.Duration
	// Longest is how long a content may keep changing before it is handed on all the same. Default:
	// 20 times Settle.
	Longest time.Duration
	// PollOnly: do not ask the operating system for notifications.
	PollOnly bool
	// Open opens what notifies. Default: fsnotify.NewWatcher.
	Open func() (*fsnotify.Watcher, error)
	// Warn is told why there are no notifications, once until there are some again. The poll works
	// without them. Default: nobody is told.
	Warn func(error)
}

// The defaults of Options.
const (
	DefaultPoll   = 30 * time.Second
	DefaultSettle = 250 * time.Millisecond

	longestInSettles = 20
	// gapsInSettle: after a notification, the files are read a fifth of Settle later, together for
	// all notifications until then. A program that writes in small pieces causes many.
	gapsInSettle = 5
)

// Watcher watches files. Make one with [Start]. It is safe for concurrent use.
type Watcher struct {
	options Options
	changes chan struct{}
	files   chan []string
	done    chan struct{}
	context context.Context //nolint:containedctx // the lifetime of the goroutine
}

// Start watches files until ctx ends, in a goroutine of its own. The files need not exist.
func Start(ctx context.Context, files []string, options Options) *Watcher {
	options.Poll = cmp.Or(options.Poll, DefaultPoll)
	options.Settle = cmp.Or(options.Settle, DefaultSettle)
	options.Longest = cmp.Or(options.Longest, longestInSettles*options.Settle)
	if options.Open == nil {
		options.Open = fsnotify.NewWatcher
	}
	if options.Warn == nil {
		options.Warn = func(error) {}
	}
	w := &Watcher{options: options, changes: make(chan struct{}, 1), files: make(chan []string), done: make(chan struct{}), context: ctx}
	go w.run(slices.Clone(files))
	return w
}

// Changes receives when the content of the files has changed. The first time is soon after Start,
// because what was read before may be old by then. Changes that nobody has received yet are one:
// who receives reads the newest content. The channel is not closed.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Follow replaces the files. It counts as a change if it does change the content of all together.
func (w *Watcher) Follow(files []string) {
	select {
	case w.files <- slices.Clone(files):
	case <-w.done:
	}
}

// Done is closed when ctx has ended and nothing is left running.
func (w *Watcher) Done() <-chan struct{} { return w.done }

func (w *Watcher) run(files []string) {
	defer close(w.done)
	notices := notices{open: w.options.Open}
	defer notices.close()
	content := settling{quiet: w.options.Settle, longest: w.options.Longest}
	poll := time.NewTicker(w.options.Poll)
	defer poll.Stop()
	look := alarm{timer: time.NewTimer(0), at: time.Now()}
	defer look.timer.Stop()
	warned := false
	for {
		select {
		case <-w.context.Done():
			return
		case files = <-w.files:
			look.within(0)
		case <-poll.C:
			look.within(0)
		case event, open := <-notices.events():
			if !open {
				notices.close()
			}
			if !open || notices.matters(event) {
				look.within(w.options.Settle / gapsInSettle)
			}
		case <-notices.errors(): //nolint:errcheck // a notice may be lost, so look
			look.within(w.options.Settle / gapsInSettle)
		case <-look.timer.C:
			look.at = time.Time{}
			if !w.options.PollOnly {
				// Before the content is read: what changes afterwards is notified.
				err := notices.follow(files)
				if err != nil && !warned {
					w.options.Warn(err)
				}
				warned = err != nil
			}
			changed, again := content.observe(time.Now(), contentOf(files))
			if changed {
				select {
				case w.changes <- struct{}{}:
				default: // one is waiting already
				}
			}
			if again > 0 {
				look.within(again)
			}
		}
	}
}

// alarm is a timer that is only ever moved forward.
type alarm struct {
	timer *time.Timer
	at    time.Time // zero: it is not set
}

// within sees to it that the alarm rings after wait at the latest.
func (a *alarm) within(wait time.Duration) {
	if at := time.Now().Add(wait); a.at.IsZero() || at.Before(a.at) {
		a.at = at
		a.timer.Reset(wait)
	}
}
