package redis

import "strings"

// Advice for the keys that other systems have.
const (
	toAddresses = `write addresses: ["host:port"]`
	toSentinel  = `write mode: sentinel, and the sentinels in addresses: ["host:port", …]`
	toCluster   = `write mode: cluster, and some nodes in addresses: ["host:port", …]`
	toURL       = `write url: redis://user:password@host:port/db, or rediss:// for TLS`
	toDB        = "write db"
	toUsername  = "write username"
	toPassword  = "write password, or password_file with the path of a file"
	toMaster    = "write sentinel_master"
	toTLS       = "write tls: {} to use TLS, or leave tls out"
	toTLSFile   = "write tls: {ca: …, cert: …, key: …} with the paths of PEM files"
	toTimeout   = "write cache.timeout, for each operation, or dial_timeout, for a connection"
	toTTL       = "write cache.default_ttl or session_cache.ttl, with a unit: 300s"
	toPool      = "commands are pipelined over few connections: leave it out, or write connections"
	toNamespace = "write cache.namespace"
	toMode      = "write mode: standalone, sentinel or cluster"
	noSkip      = "TLS always verifies: write tls: {ca: …} with the path of the authority's PEM file, or tls: {server_name: …}"
	noRetry     = "nothing is retried while a request waits: leave it out"
)

// hints says what to write in place of what other systems call a key. The keys are in lower case,
// without _ and -.
var hints = func() map[string]string {
	byKey := map[string]string{}
	for advice, keys := range map[string]string{
		toAddresses: "host hosts hostname hostnames server servers redisserver address addr addrs endpoint endpoints ip port ports redishost redisport redisaddress redisaddr configurationendpoint primaryendpoint",
		toSentinel:  "sentinel sentinels sentineladdress sentineladdresses sentineladdr sentineladdrs sentinelhost sentinelhosts sentinelnodes sentinelport highavailability ha failover sentinelendpoints",
		toCluster:   "cluster clusters clusternodes clustermode clusterenabled enablecluster iscluster nodes node seeds seednodes startupnodes clusteraddresses clusteraddrs",
		toURL:       "uri dsn redisurl redisuri connection connectionstring connectionuri connectionurl connstr connstring redisdsn configuration",
		toDB:        "database dbindex databaseindex databaseid databasenumber databasenum dbnum dbid dbnumber index selectdb redisdb defaultdatabase",
		toUsername:  "user login acluser aclusername redisuser redisusername",
		toPassword: "pass passwd pwd auth authentication requirepass secret authtoken accesskey primarykey redispassword redispass passphrase credentials " +
			"passwordpath passwordsecret existingsecret secretname token",
		toMaster: "master mastername masterset mastergroup sentinelmastername sentinelname sentinelservice servicename mymaster mastergroupname replicaset",
		toTLS: "ssl usessl sslenabled enablessl isssl usetls tlsenabled enabletls secure starttls encryption redistls redisssl sslmode scheme transportencryption " +
			"intransitencryption securetransport",
		toTLSFile: "ca cafile cacert cacertfile capath cert certfile certificate certpath clientcert clientcertfile clientkey clientkeyfile key keyfile keypath " +
			"sslca sslcafile sslcert sslcertfile sslkey sslkeyfile sslparams ssloptions sslcacerts tlsca tlscafile tlscert tlscertfile tlskey tlskeyfile tlsconfig tlsoptions rootca trustedca",
		noSkip: "insecure insecureskipverify skipverify tlsskipverify tlsinsecure tlsinsecureskipverify sslinsecureskipverify sslverify verifyssl sslcertreqs rejectunauthorized skiptlsverify verify allowinvalidcertificates abortconnect",
		toTimeout: "timeout timeouts readtimeout writetimeout commandtimeout sockettimeout operationtimeout connecttimeout connectiontimeout conntimeout " +
			"synctimeout asynctimeout responsetimeout socketconnecttimeout timeoutseconds timeoutms idletimeout",
		toTTL: "ttl ttlseconds ttlms expiry expiration expire expires expiresin defaultttl maxage timetolive lifetime cachettl sessionttl defaultexpiration",
		toPool: "pool poolsize poolmaxsize maxactive maxidle minidle minidleconns maxidleconns maxconnections maxconns maximumactiveconnectioncount maximumidleconnectioncount minimumidleconnections " +
			"maxactiveconns maxopenconns connectionpool poolcap poolfifo maxpoolsize minpoolsize optimisationmaxidle optimisationmaxactive lettuce jedis",
		toNamespace: "namespace prefix keyprefix redisprefix keyspace app appname keynamespace",
		toMode:      "type kind topology deployment architecture",
		noRetry: "retries maxretries retry retrystrategy retrydelay maxretrybackoff minretrybackoff reconnectattempts maxretriesperrequest connectretry dialretries " +
			"autoreconnect",
		"write client_name": "client name connectionname setname",
		"write cache.strategy: redis, or noop, in place of switching a section":      "enabled enable disabled strategy driver backend provider adapter",
		"write tls: {server_name: …}":                                                "servername sni tlsservername sslhost",
		"write wait_replicas":                                                        "replicas minreplicas waitforreplicas",
		"the protocol is always RESP3 over TCP: leave it out":                        "protocol network resp3",
		"write cache.codec; values are not compressed by a switch of the connection": "serializer serialiser compression compress codec encoding",
	} {
		for key := range strings.FieldsSeq(keys) {
			byKey[key] = advice
		}
	}
	return byKey
}()

// Hint is Options.Hint for the section tls.
func (TLS) Hint(key string) string {
	for name, others := range map[string]string{
		"ca":          "cafile cacert cacertfile capath certificateauthority rootca rootcas tlsca trustedca caroot cacertificate cacerts",
		"cert":        "certfile certificate clientcert clientcertfile certpath tlscert certificatefile certchain",
		"key":         "keyfile privatekey clientkey clientkeyfile keypath tlskey",
		"server_name": "servername sni hostname host domain tlsservername",
		"min_version": "version minversion minimumversion tlsversion minimumtlsversion",
		"enabled":     "enable use on disabled mode",
	} {
		for other := range strings.FieldsSeq(others) {
			if other == key {
				return "write " + name
			}
		}
	}
	if advice := hints[key]; advice == noSkip {
		return advice
	}
	return ""
}
