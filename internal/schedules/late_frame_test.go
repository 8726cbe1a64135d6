package schedules_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

// V16 on a real server. The frame of a fill was sent and cannot be recalled. A slow network delays
// it, its caller gives up at the deadline, and the key is revoked. Then the frame arrives.
//
// Promise: the fill is refused, whatever the kind of revocation, even if the ledger was lost
// meanwhile. A plain Set has no lease that could be refused. It may win, as its doc says.
//
// Model: as in TestStaleFill.
func TestLateFrame(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	slow, quick := newRedis(t, proxy.Addr(), time.Minute), newRedis(t, server.Addr(), time.Minute)
	inRealTime(t, "late-set/redis", 200, func(s *schedule) {
		row := newRow(s)
		a, b := actor{s, "the slow process"}, actor{s, "the other"}
		through, direct := remote{slow, row}, remote{quick, row}
		lease, version := through.lease(a)
		frame := proxy.HoldFunc(isFill)
		// The deadline comes when the frame is on its way, however busy the machine is.
		ctx, deadline := context.WithCancel(context.Background())
		defer deadline()
		go func() {
			select {
			case <-frame.Arrived():
				deadline()
			case <-ctx.Done():
			}
		}()
		_, err := slow.Fill(ctx, lease, []byte(strconv.FormatInt(version, 10)), row.opts())
		if !errors.Is(err, context.Canceled) {
			s.fail("Fill of a frame that is held: %v", err)
			return
		}
		a.did("has given up its fill of %d", version)
		if s.random.IntN(8) == 0 {
			lose(b, server)
		}
		direct.write(b, s.random.IntN(ways))
		if s.random.IntN(2) == 0 {
			// It creates the nonces again, and perhaps the ledger.
			if lease, version := direct.lease(b); lease != nil {
				direct.fill(b, lease, version)
			}
		}
		frame.Release()
		<-frame.Answered()
		a.did("has its frame arrive")
		direct.read(b)
		through.read(a)
	})
}

// isFill reports whether a request is a Fill: no other script has so many keys. From time to time
// the strategy also runs the script of the fingerprint.
func isFill(args []string) bool {
	if len(args) < 3 || !strings.EqualFold(args[0], "evalsha") {
		return false
	}
	keys, err := strconv.Atoi(args[2])
	return err == nil && keys >= 5
}
