package sessioncache_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

// V19: the token is in no key, payload, tag, log line or error.
func TestTheTokenStaysInTheProcess(t *testing.T) {
	t.Parallel()
	const token = "tkn-7f1e0c5d9a8b4e63"
	f := newFixture(t, sessioncache.Options{})
	session := f.session(token, time.Hour)
	var errs []error
	collect := func(err error) { errs = append(errs, err) }
	use := func() {
		collect(f.Set(t.Context(), session))
		_, _, err := f.Get(t.Context(), token)
		collect(err)
		_, _, err = f.GetOrLoad(t.Context(), token, returns(session))
		collect(err)
		_, err = f.Update(t.Context(), token, returns(session))
		collect(err)
		collect(f.DeleteUser(t.Context(), "42"))
		collect(f.Delete(t.Context(), token))
	}
	use()
	for _, op := range []string{drivertest.OpGet, drivertest.OpSet, drivertest.OpDelete, drivertest.OpInvalidate,
		drivertest.OpGetOrLease, drivertest.OpLease, drivertest.OpFill} {
		f.recorder.FailNext(op, 10, errors.New("boom"))
	}
	use()
	check(t, f.service.Stop(t.Context()))
	use()
	if failed := errors.Join(errs...); failed == nil {
		t.Error("nothing failed: the test proves nothing about errors")
	}
	if f.log.Len() == 0 {
		t.Error("nothing was logged: the test proves nothing about logs")
	}
	said := fmt.Sprintf("%v %+v %#v %s", errs, errs, errs, f.log)
	digest := sha256.Sum256([]byte(token))
	seen := 0
	for _, o := range f.recorder.Operations() {
		said += fmt.Sprintf("%+v %q", o, o)
		for _, key := range o.Keys {
			if strings.HasSuffix(key, ":"+string(digest[:])) {
				seen++
			}
		}
	}
	if strings.Contains(said, token) {
		t.Error("the token got out")
	}
	if seen == 0 {
		t.Error("no key ends with the SHA-256 of the token")
	}
	payload, err := session.AppendBinary(nil)
	check(t, err)
	if strings.Contains(string(payload), token) {
		t.Error("the token is in the payload")
	}
}
