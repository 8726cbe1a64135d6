package redis

import (
	"context"
)

// maxDropping is how many entries are dropped at a time. Others stay until they are met again.
const maxDropping = 4

// dropper removes entries that are larger than this node accepts, so that it does not meet them
// again and again.
type dropper struct {
	client  *client
	limits  *liveLimits
	running chan struct{} // has room for maxDropping
}

func newDropper(c *client, l *liveLimits) *dropper {
	return &dropper{c, l, make(chan struct{}, maxDropping)}
}

// drop removes the entry that has that body, or, if body is empty, an entry that is too long
// itself. It promises nothing: the entry is a miss in any case.
func (d *dropper) drop(k keyRef, body string) {
	select {
	case d.running <- struct{}{}:
	default:
		return
	}
	if !d.client.run(func(life context.Context) {
		defer func() { <-d.running }()
		ctx, cancel := context.WithTimeout(life, d.client.timeout)
		defer cancel()
		_ = protect(func() error {
			conn, err := d.client.use()
			if err != nil {
				return err
			}
			return dropScript.Exec(ctx, conn, []string{k.value(), k.body()}, []string{d.limits.Load().entryArg, body}).Error()
		})
	}) {
		<-d.running
	}
}
