package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// V9: different names are different Redis keys, whatever bytes they hold, and a key is never a tag,
// a lease or a ledger.
func TestNamesAreInjective(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"", "a", "b", ":", "{", "}", "{0}", "{1}:", "%", "%7B", "%3A", "\x00", "\r\n", " ", "ä", "v", "t:", ":v:{0}:", ":f:{0}:", strings.Repeat("x", 1024)}
	draw := func() string {
		var name strings.Builder
		for range 1 + random.IntN(4) {
			name.WriteString(parts[random.IntN(len(parts))])
		}
		return name.String()
	}
	for _, lanes := range []int{1, 64} {
		seen := map[string]string{} // Redis key → what it is for
		claim := func(key, what string) {
			if before, ok := seen[key]; ok && before != what {
				t.Errorf("%q is both %s and %s", key, before, what)
			}
			seen[key] = what
			if open, end := strings.Index(key, "{"), strings.Index(key, "}"); open < 0 || end < open+2 || key[open+1:end] == "" {
				t.Errorf("%q has no hash tag", key)
			}
		}
		for range 1000 {
			prefix := cache.Options{Namespace: draw()}.KeyPrefix()
			keys := newKeyspace(prefix, lanes)
			claim(keys.fingerprint, fmt.Sprintf("fingerprint of %q", prefix))
			for range 20 {
				name := draw()
				k := keys.of(prefix + name)
				id := fmt.Sprintf(" of %q in %q", name, prefix)
				claim(k.value(), "value"+id)
				claim(k.body(), "body"+id)
				claim(k.lease(), "lease"+id)
				in := fmt.Sprintf(" in %q, lane %d", prefix, keys.laneOf(prefix+name))
				claim(k.lane.nonceOf(name), fmt.Sprintf("tag %q", name)+in)
				claim(k.lane.mark, "mark"+in)
				claim(k.lane.earlier, "earlier page"+in)
				claim(k.lane.ledger, "ledger"+in)
				claim(k.lane.probeOf(1), "probe"+in)
				for key, want := range map[string][2]string{
					k.value(): {kindValue, prefix + name}, k.lane.nonceOf(name): {kindNonce, name}, k.lane.probeOf(1): {kindProbe, "1"},
				} {
					if kind, got := keys.told(key); kind != want[0] || got != want[1] {
						t.Errorf("%q is told of as %q %q, want %q", key, kind, got, want)
					}
				}
				if got := keys.keysOf([]string{k.value(), k.body(), k.lease()}); !slices.Equal(got, slices.Repeat([]string{prefix + name}, 3)) {
					t.Errorf("the keys%s are taken for those of %q", id, got)
				}
			}
		}
	}
}

// All that a script sees lies in one slot.
func TestOneLaneOneHashTag(t *testing.T) {
	t.Parallel()
	const prefix = "n{s:"
	keys := newKeyspace(prefix, 64)
	for i := range 1000 {
		k := keys.of(fmt.Sprintf("%skey {%d}", prefix, i))
		want := fmt.Sprintf("{%d}", keys.laneOf(fmt.Sprintf("%skey {%d}", prefix, i)))
		for _, key := range []string{k.value(), k.body(), k.lease(), k.lane.mark, k.lane.ledger, k.lane.earlier, k.lane.nonce} {
			if open := strings.Index(key, "{"); key[open:open+len(want)] != want {
				t.Errorf("%q: the hash tag is not %s", key, want)
			}
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add(sample("payload", "tag", "another"))
	f.Add(sample("payload"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := entry(data)
		if _, ok := e.expiry(); !ok {
			return
		}
		size := fixedBytes
		payload, ok := e.tags(func(name, nonce []byte) bool {
			size += 2 + len(name) + len(nonce)
			return true
		})
		if ok && size+len(payload) != len(data) {
			t.Errorf("%d bytes of header and %d of payload in %d", size, len(payload), len(data))
		}
	})
}

// sample is an entry as store.lua writes it.
func sample(payload string, tags ...string) []byte {
	e := binary.BigEndian.AppendUint16(appendFixed(nil, entryFormat, 1234), uint16(len(tags)))
	for _, tag := range tags {
		e = binary.BigEndian.AppendUint16(e, uint16(len(tag)))
		e = append(append(e, tag...), strings.Repeat("n", nonceBytes)...)
	}
	return append(e, payload...)
}

func TestEntryCutAtEveryByte(t *testing.T) {
	t.Parallel()
	whole := sample("", "tag", "another")
	if expiry, ok := entry(whole).expiry(); expiry != 1234 || !ok {
		t.Errorf("expiry %d, %t", expiry, ok)
	}
	for n := range whole {
		if _, ok := entry(whole[:n]).expiry(); !ok {
			continue
		}
		if _, ok := entry(whole[:n]).tags(func(_, _ []byte) bool { return true }); ok {
			t.Errorf("the first %d of %d bytes are an entry", n, len(whole))
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		options Options
		wrong   string
	}{
		{Options{}, ""},
		{Options{Mode: Cluster, Addresses: []string{"a:1", "b:2"}}, ""},
		{Options{Mode: Sentinel, Addresses: []string{"a:1", "b:2"}}, ""},
		{Options{Mode: "ring"}, "mode"},
		{Options{Addresses: []string{"a:1", "b:2"}}, "addresses"},
		{Options{DB: -1}, "db"},
		{Options{Mode: Cluster, DB: 1}, "db"},
		{Options{Connections: 3}, "connections"},
		{Options{Connections: -1}, "connections"},
		{Options{ReadBuffer: 1}, "read_buffer"},
		{Options{WriteBuffer: -1}, "write_buffer"},
		{Options{DialTimeout: -1}, "dial_timeout"},
		{Options{Lanes: -1}, "lanes"},
		{Options{Lanes: 1 << 15}, "lanes"},
		{Options{LeaseTTL: 1}, "lease_ttl"},
		{Options{WaitReplicas: -1}, "wait_replicas"},
		{Options{TagHints: -1}, "tag_hints"},
		{Options{TagHints: 1 << 30}, "tag_hints"},
		{Options{TLS: &TLS{Cert: "x"}}, "tls"},
		{Options{TLS: &TLS{MinVersion: "1.1"}}, "tls.min_version"},
	} {
		_, err := New(test.options)
		var option *driver.OptionError
		if test.wrong == "" && err != nil || test.wrong != "" && (!errors.As(err, &option) || option.Name != test.wrong) {
			t.Errorf("%+v: %v, want a problem with %q", test.options, err, test.wrong)
		}
	}
}

// What the network says of an address that is none, as that of a client of the application may be,
// is not passed on; what it says of others is.
func TestErrorsHideAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"s3cret@127.0.0.1:1", ":s3cret@h:1", "h s3cret:1", "s3cret", "h:s3cret", "redis://s3cret@h:1", "[s3cret@h]:1"} {
		var dialer net.Dialer
		_, err := dialer.DialContext(t.Context(), "tcp", address)
		for _, err := range []error{err, fmt.Errorf("wrapped: %w", err), errors.Join(err, context.DeadlineExceeded)} {
			shown := typed(err)
			if text := fmt.Sprintf("%v %+v %#v %s %q %d", shown, shown, shown, shown, shown, shown); strings.Contains(text, "s3cret") {
				t.Errorf("%q: %s", address, text)
			}
			if !errors.Is(shown, err) {
				t.Errorf("%q: the cause is lost", address)
			}
		}
	}
	_, err := url.Parse("redis://:" + strings.ToLower("S3CRET") + "@h:x")
	if text := typed(err).Error(); strings.Contains(text, "s3cret") {
		t.Error(text)
	}
	known := &net.DNSError{Err: "no such host", Name: "redis.example.com"}
	if text := typed(known).Error(); !strings.Contains(text, known.Name) {
		t.Errorf("%s does not say which host", text)
	}
}
