package redistest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports come from [lowestPort, lowestPort+portCount), cluster buses from the same range plus
// busOffset. Both lie below 32768, where Linux begins to pick ports for outgoing connections
// (macOS: 49152). So a client can never take the port of a server that is down for a moment.
const (
	lowestPort = 12000
	portCount  = 10000
	busOffset  = 10000 // Redis' own rule
)

func localAddr(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// reservePort finds a port that is free for TCP, and whose bus port is free too. It keeps other
// test processes from choosing the port until the reservation is closed. The reservation is a UDP
// socket with the same number. It does not block a TCP listener, and it ends with its process.
func reservePort(ctx context.Context) (port int, reservation io.Closer, err error) {
	for range 200 {
		port = lowestPort + rand.IntN(portCount)
		if reservation, err = new(net.ListenConfig).ListenPacket(ctx, "udp", localAddr(port)); err != nil {
			continue
		}
		if err = errors.Join(probe(ctx, port), probe(ctx, port+busOffset)); err == nil {
			return port, reservation, nil
		}
		_ = reservation.Close() // nothing was ever sent
	}
	return 0, nil, err
}

// probe reports whether a listener can use port.
func probe(ctx context.Context, port int) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", localAddr(port))
	if err != nil {
		return err
	}
	return listener.Close()
}
