package redis

import (
	"crypto/sha1" //nolint:gosec // how Redis names scripts, not for security
	_ "embed"     // the scripts
	"encoding/hex"

	"github.com/redis/rueidis"
)

var (
	//go:embed typed.lua
	typedLua string
	//go:embed good.lua
	goodLua string
	//go:embed get.lua
	getLua string
	//go:embed lease.lua
	leaseLua string
	//go:embed store.lua
	storeLua string
	//go:embed invalidate.lua
	invalidateLua string
	//go:embed extend.lua
	extendLua string
	//go:embed release.lua
	releaseLua string
	//go:embed drop.lua
	dropLua string
	//go:embed sweep.lua
	sweepLua string
	//go:embed mark.lua
	markLua string
	//go:embed fingerprint.lua
	fingerprintLua string
)

// The first lines of the scripts. If its memory is full, Redis refuses a script without allow-oom.
const (
	readsOnly = "#!lua flags=no-writes\n"
	writes    = "#!lua\n"
	always    = "#!lua flags=allow-oom\n"
)

// These are called by their SHA-1. A server that does not know one is sent its text.
var (
	getScript     = rueidis.NewLuaScriptReadOnly(getText)
	leaseScript   = rueidis.NewLuaScript(leaseText)
	storeScript   = rueidis.NewLuaScript(storeText)
	releaseScript = rueidis.NewLuaScript(releaseText)
	extendScript  = rueidis.NewLuaScript(extendText)
	dropScript    = rueidis.NewLuaScript(always + typedLua + dropLua)
	sweepScript   = rueidis.NewLuaScript(always + typedLua + sweepLua)
	// swapScript may use memory that a full Redis still has: a node must be able to say who it is.
	swapScript = rueidis.NewLuaScript(always + fingerprintLua)
)

// markText is always sent as it is, because it is seldom needed.
var markText = always + markLua

// These run many times at once, in pipelines of our own.
var (
	getText        = readsOnly + typedLua + goodLua + getLua
	getSHA         = nameOf(getText)
	leaseText      = writes + typedLua + goodLua + leaseLua
	leaseSHA       = nameOf(leaseText)
	storeText      = writes + typedLua + storeLua
	storeSHA       = nameOf(storeText)
	extendText     = always + typedLua + extendLua
	extendSHA      = nameOf(extendText)
	releaseText    = always + typedLua + releaseLua
	releaseSHA     = nameOf(releaseText)
	invalidateText = always + invalidateLua
	invalidateSHA  = nameOf(invalidateText)
)

// nameOf is the name that Redis gives to a script.
func nameOf(text string) string {
	digest := sha1.Sum([]byte(text)) //nolint:gosec // as above
	return hex.EncodeToString(digest[:])
}

func evalsha(conn rueidis.Client, sha string, call rueidis.LuaExec) rueidis.Completed {
	return conn.B().Evalsha().Sha1(sha).Numkeys(int64(len(call.Keys))).Key(call.Keys...).Arg(call.Args...).Build()
}

func eval(conn rueidis.Client, text string, call rueidis.LuaExec) rueidis.Completed {
	return conn.B().Eval().Script(text).Numkeys(int64(len(call.Keys))).Key(call.Keys...).Arg(call.Args...).Build()
}
