package redis

import (
	"crypto/sha1" //nolint:gosec // how Redis names scripts, not for security
	_ "embed"     // the scripts
	"encoding/hex"

	"github.com/redis/rueidis"
)

var (
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
	//go:embed release.lua
	releaseLua string
	//go:embed mark.lua
	markLua string
)

// The first lines of the scripts. Redis refuses a script without allow-oom when its memory is full.
const (
	readsOnly = "#!lua flags=no-writes\n"
	writes    = "#!lua\n"
	always    = "#!lua flags=allow-oom\n"
)

// scripts are called by their SHA-1, and loaded where the server does not know them, or no longer.
var (
	getScript     = rueidis.NewLuaScriptReadOnly(readsOnly + goodLua + getLua)
	leaseScript   = rueidis.NewLuaScript(writes + goodLua + leaseLua)
	storeScript   = rueidis.NewLuaScript(writes + storeLua)
	releaseScript = rueidis.NewLuaScript(always + releaseLua)
)

// markText is sent as it is: it is needed seldom.
var markText = always + markLua

// invalidateText runs in many lanes at once, in a pipeline of our own making.
var (
	invalidateText = always + invalidateLua
	invalidateSHA  = func() string {
		digest := sha1.Sum([]byte(invalidateText)) //nolint:gosec // as above
		return hex.EncodeToString(digest[:])
	}()
)
