package redis

import "regexp"

// hint is the advice for the keys of other systems that match a pattern. They are in lower case,
// without _ and -.
type hint struct {
	pattern *regexp.Regexp
	advice  string
}

func hintFor(pattern, advice string) hint { return hint{regexp.MustCompile(pattern), advice} }

// hints says what to write in place of what other systems call a key, and the many libraries of
// Redis. The first that matches counts.
var hints = []hint{
	hintFor(`sentinel.*(user|login)`, "write sentinel_username"),
	hintFor(`sentinel.*(pass|pwd|auth|secret)`, "write sentinel_password, or sentinel_password_file with the path of a file"),
	hintFor(`^(redis|sentinel|my)*master(name|set|setname|group|groupname|id)?$|^(sentinel)?(service|servicename|monitor|name)$|^replicaset`, "write sentinel_master"),
	hintFor(`sentinel|highavailability|failover|^ha$`, `write mode: sentinel, and the sentinels in addresses: ["host:port", …]`),
	hintFor(`verif|insecure|rejectunauthorized|certreqs|allowinvalid|allowuntrusted|trustserver`,
		"TLS always verifies: write tls: {ca: …} with the path of the authority's PEM file, or tls: {server_name: …}"),
	hintFor(`servername|^sni$|sslhost`, "write tls: {server_name: …}"),
	hintFor(`(passwd|password|secret|auth)(file|path)$`, "write password_file"),
	hintFor(`pass(word|wd|phrase)?$|pwd$|password|secret|auth|token|credential|accesskey|primarykey`, "write password, or password_file with the path of a file"),
	hintFor(`cert|^(redis|tls|ssl)?ca(file|path|s|bundle|pem)?$|(client|private|tls|ssl)key|^key(file|path)?$|(tls|ssl)(config|options|params|ca)|rootca|trustedca`,
		"write tls: {ca: …, cert: …, key: …} with the paths of PEM files"),
	hintFor(`ssl|tls|^scheme$|encrypt|secure`, "write tls: {} to use TLS, or leave tls out"),
	hintFor(`cluster|^(seed|startup|redis)?nodes?$|^seeds?$`, `write mode: cluster, and some nodes in addresses: ["host:port", …]`),
	hintFor(`ur[il]s?$|dsn|conn(ection)?(str|string)?$|^configuration$|^location$|broker`, "write url: redis://user:password@host:port/db, or rediss:// for TLS"),
	hintFor(`conn\w*(age|lifetime)$`, "write connection_lifetime"),
	hintFor(`pool|idle|(max|min)\w*(active|conn\w*)$|lettuce|jedis`, "commands are pipelined over few connections: leave it out, or write connections"),
	hintFor(`retry|retries|reconnect|attempt|backoff`, "nothing is retried while a request waits: leave it out"),
	hintFor(`timeout`, "write cache.timeout, for each operation, or dial_timeout, for a connection"),
	hintFor(`ttl|expir|maxage|timetolive|lifetime`, "write cache.default_ttl or session_cache.ttl, with a unit: 300s"),
	hintFor(`prefix|namespace|keyspace|^instance(name)?$|rootkey|^app(name)?$`, "write cache.namespace"),
	hintFor(`database|^(redis|default|select)?db(index|num|number|id|no)?$|index$`, "write db"),
	hintFor(`user|login`, "write username"),
	hintFor(`client(name)?$|connectionname|setname`, "write client_name"),
	hintFor(`replica`, "write wait_replicas"),
	hintFor(`host|addr|endpoint|server|^(redis)?ports?$|^ip$|^socket$`, `write addresses: ["host:port"]`),
	hintFor(`^(redis)?(type|kind|topology|architecture|deployment)$`, "write mode: standalone, sentinel or cluster"),
	hintFor(`^enabled?$|^disabled?$|^strategy$|^driver$|backend|provider|adapter|^engine$|^store$`,
		"write cache.strategy: redis, or noop, in place of switching a section"),
	hintFor(`protocol|^network$|resp3?$|keepalive`, "the protocol is always RESP3 over TCP: leave it out"),
	hintFor(`serializ|serialis|compress|codec|encoding`, "write cache.codec; nothing is compressed by a connection"),
	hintFor(`^natmap$`, `write address_map: {"announced:port": "reachable:port"}`),
	hintFor(`^(options?|opts|params?|parameters|settings|config|default|redis)$`, "write the keys within it one level up"),
	hintFor(`^family$|lazy|readonly|slaveok|redirects?$|^routeby|legacy|decoderesponses|healthcheck|readycheck|errorhandler|offlinequeue|^clienttype$`,
		"there is nothing like it here: leave it out"),
}

// Hint is Options.Hint for the section tls.
func (TLS) Hint(key string) string {
	for _, h := range tlsHints {
		if h.pattern.MatchString(key) {
			return h.advice
		}
	}
	return ""
}

var tlsHints = []hint{
	hintFor(`verif|insecure|rejectunauthorized|certreqs|allowinvalid|trustserver`,
		"TLS always verifies: write ca with the path of the authority's PEM file, or server_name"),
	hintFor(`host|sni|servername|domain`, "write server_name"),
	hintFor(`version|protocol`, "write min_version"),
	hintFor(`^ca|ca(file|path|cert|bundle)?s?$|authorit|root|trust`, "write ca with the path of a PEM file"),
	hintFor(`key`, "write key with the path of a PEM file"),
	hintFor(`cert`, "write cert with the path of a PEM file"),
	hintFor(`enable|disable|^use|^on$|^mode$`, "write enabled: true or false"),
}
