package fxcache_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/config"
)

// shape is a configuration as users of another system write it, pasted below ours.
type shape struct {
	name string
	// of `cache.redis`, unless file says otherwise. %s stands for a password.
	section string
	file    string // a whole file, in place of section
	env     string // variables, one a line
	want    string // problems that say what to write, separated by |; "" if it works
}

var shapes = []shape{
	// What works.
	{name: "host and port", section: "addresses: redis:6379"},
	{name: "a list", section: "addresses: [redis:6379]"},
	{name: "a list as text", section: "{mode: cluster, addresses: 'a:7000, b:7000,c:7000'}"},
	{name: "empty credentials", section: "{addresses: ['redis:6379'], username: '', password: ''}"},
	{name: "Heroku, plain", env: "FXCACHE_CACHE__REDIS__URL=redis://h:%s@ec2-1-2-3-4.compute-1.amazonaws.com:12345"},
	{name: "Heroku, TLS", env: "FXCACHE_CACHE__REDIS__URL=rediss://:%s@ec2-1-2-3-4.compute-1.amazonaws.com:12345"},
	{name: "Upstash", section: "url: rediss://default:%s@eu1-fine-shark-30000.upstash.io:6379"},
	{name: "Rails url", section: "url: redis://localhost:6379/1"},
	{name: "Fly", section: "url: redis://default:%s@fly-shop.upstash.io"},
	{name: "DigitalOcean", section: "url: rediss://default:%s@db-redis-fra1-1-do-user-1-0.db.ondigitalocean.com:25061"},
	{name: "IPv6", section: "addresses: ['[::1]:6379']"},
	{name: "sentinel", section: "{mode: sentinel, addresses: ['s1:26379', 's2:26379'], sentinel_master: main, sentinel_password: '%s'}"},
	{name: "anchors", file: "x-redis: &redis\n  addresses: [redis:6379]\n  password: '%s'\ncache:\n  strategy: redis\n  namespace: shop\n  redis:\n    <<: *redis\n    db: 1\n"},
	{name: "Windows line ends", file: "cache:\r\n  strategy: redis\r\n  namespace: shop\r\n  redis:\r\n    password: '%s'\r\n"},
	{name: "byte order mark", file: "\ufeffcache:\n  strategy: redis\n  namespace: shop\n"},
	{name: "sections kept for switching", file: "cache:\n  strategy: bigcache\n  redis:\n    password: '%s'\n"},
	{name: "docker compose", env: "FXCACHE_CACHE__REDIS__ADDRESSES=redis:6379\nFXCACHE_CACHE__REDIS__PASSWORD=%s\nFXCACHE_CACHE__REDIS__DB=0"},
	{name: "Kubernetes service links", env: "FXCACHE_PORT=tcp://10.0.0.1:80\nFXCACHE_CACHE_SERVICE_HOST=10.0.0.1\nFXCACHE_CACHE_SERVICE_PORT=6379\n" +
		"FXCACHE_CACHE_PORT=tcp://10.0.0.1:6379\nFXCACHE_CACHE_PORT_6379_TCP_ADDR=10.0.0.1\nFXCACHE_CACHE_REDIS_PORT=tcp://10.0.0.1:6379\nFXCACHE_CACHE_SERVICE_PORT_HTTP=80"},
	{name: "variables of another purpose", env: "FXCACHE_CACHE_DIR=/var/cache\nFXCACHE_LOG_LEVEL=debug"},

	// Names of other systems.
	{name: "authelia", section: "{host: redis, port: 6379, username: u, password: '%s', database_index: 0, maximum_active_connections: 8, minimum_idle_connections: 0}",
		want: `host: addresses: ["host:port"]|port: addresses: ["host:port"]|database_index: write db|maximum_active_connections: connections|minimum_idle_connections: connections`},
	{name: "authelia sentinels", section: "{high_availability: {sentinel_name: m, sentinel_password: '%s', nodes: [{host: s1, port: 26379}]}}",
		want: "high_availability: mode: sentinel"},
	{name: "authelia TLS", section: "{addresses: ['r:1'], tls: {server_name: r, skip_verify: false, minimum_version: TLS1.2}}",
		want: "skip_verify: write ca|minimum_version: min_version"},
	{name: "gitlab omnibus", section: "{redis_host: redis, redis_port: 6379, redis_password: '%s', redis_ssl: true, redis_database: 0}",
		want: "redis_host: addresses|redis_port: addresses|redis_password: password_file|redis_ssl: tls: {}|redis_database: write db"},
	{name: "gitlab sentinels", section: "{master_name: gitlab-redis, master_password: '%s', sentinels: [{host: 10.0.0.1, port: 26379}]}",
		want: "master_name: sentinel_master|sentinels: mode: sentinel|master_password: password"},
	{name: "harbor", section: "{type: external, addr: 'redis:6379', sentinelMasterSet: '', username: '', password: '%s', jobserviceDatabaseIndex: '1', tlsOptions: {enable: false}}",
		want: "type: mode: standalone|addr: addresses|sentinelMasterSet: sentinel_master|jobserviceDatabaseIndex: write db|tlsOptions: write tls"},
	{name: "Tyk", section: "{type: redis, host: redis, port: 6379, hosts: {}, username: '', password: '%s', database: 0, optimisation_max_idle: 2000, optimisation_max_active: 4000, enable_cluster: false, use_ssl: false, ssl_insecure_skip_verify: true}",
		want: "host: addresses|hosts: addresses|database: write db|optimisation_max_idle: connections|enable_cluster: mode: cluster|use_ssl: tls: {}|ssl_insecure_skip_verify: verifies"},
	{name: "zitadel", section: "{Enabled: true, Network: tcp, Addr: 'localhost:6379', ClientName: zitadel, Username: u, Password: '%s', SentinelUsername: '', MaxRetries: 3, DialTimeout: 5s, ReadTimeout: 3s, PoolFIFO: false, MinIdleConns: 0, ConnMaxLifetime: -1s}",
		want: "Enabled: cache.strategy|Network: leave it out|Addr: addresses|ClientName: \"client_name\"|Username: \"username\"|Password: \"password\"|SentinelUsername: \"sentinel_username\"|MaxRetries: leave it out|DialTimeout: \"dial_timeout\"|ReadTimeout: cache.timeout|PoolFIFO: connections|MinIdleConns: connections|ConnMaxLifetime: connection_lifetime"},
	{name: "Spring Boot", section: "{host: redis, port: 6379, password: '%s', database: 0, timeout: 2s, connect-timeout: 1s, client-name: shop, client-type: lettuce, ssl: {enabled: true, bundle: b}, lettuce: {pool: {max-active: 8}}, cluster: {nodes: [a:1]}, sentinel: {master: m}}",
		want: "host: addresses|database: write db|timeout: cache.timeout|connect-timeout: dial_timeout|client-name: \"client_name\"|client-type: leave it out|ssl: tls: {}|lettuce: connections|cluster: mode: cluster|sentinel: mode: sentinel"},
	{name: "Spring Boot, whole", file: "cache: {strategy: redis, namespace: shop}\nspring: {data: {redis: {host: redis, password: '%s'}}}", want: "spring: valid keys: cache, session_cache"},
	{name: "Rails", section: "{url: 'redis://localhost:6379/0', namespace: shop, expires_in: 3600, pool_size: 5, pool_timeout: 5, connect_timeout: 1, reconnect_attempts: 1, error_handler: x, driver: hiredis}",
		want: "namespace: cache.namespace|expires_in: with a unit|pool_size: connections|pool_timeout: connections|reconnect_attempts: leave it out|error_handler: leave it out"},
	{name: "gitea", section: "{ADAPTER: redis, HOST: 'redis://:%s@127.0.0.1:6379/0?pool_size=100&idle_timeout=180s', ITEM_TTL: 16h, ENABLED: true}",
		want: "ADAPTER: strategy|HOST: addresses|ITEM_TTL: with a unit|ENABLED: cache.strategy"},
	{name: "gitea url", section: "url: 'redis://:%s@127.0.0.1:6379/0?pool_size=100&idle_timeout=180s'", want: "url: write them as keys of this section"},
	{name: "Azure", section: "addresses: 'shop.redis.cache.windows.net:6380,password=%s,ssl=True,abortConnect=False'", want: "addresses[1]: password or password_file"},
	{name: "Azure as URL", section: "url: 'shop.redis.cache.windows.net:6380,password=%s,ssl=True'", want: "url: must be redis:// or rediss://"},
	{name: "Azure key", section: "connectionString: 'shop.redis.cache.windows.net:6380,password=%s,ssl=True'", want: "connectionString: write url: redis://"},
	{name: "StackExchange", section: "{Configuration: 'localhost:6379,password=%s', InstanceName: shop}", want: "Configuration: write url|InstanceName: cache.namespace"},
	{name: "Sidekiq", section: "{url: 'redis://r:6379/0', network_timeout: 5, ssl_params: {verify_mode: 0}}", want: "network_timeout: cache.timeout|ssl_params: write tls"},
	{name: "Laravel", section: "{client: phpredis, default: {url: x, host: 127.0.0.1}, options: {cluster: redis, prefix: laravel_}, read_write_timeout: 60}",
		want: "client: client_name|default: one level up|options: one level up|read_write_timeout: cache.timeout"},
	{name: "Django", section: "{BACKEND: django.core.cache, LOCATION: 'redis://u:%s@127.0.0.1:6379', OPTIONS: {}, KEY_PREFIX: shop, TIMEOUT: 300}",
		want: "BACKEND: cache.strategy|LOCATION: write url|KEY_PREFIX: cache.namespace|OPTIONS: one level up|TIMEOUT: cache.timeout"},
	{name: "Celery", section: "{broker_url: 'redis://:%s@r:6379/0', result_backend: x}", want: "broker_url: write url|result_backend: cache.strategy"},
	{name: "ioredis", section: "{host: h, port: 1, family: 4, lazyConnect: true, maxRetriesPerRequest: 1, keyPrefix: shop, enableReadyCheck: true, sentinels: [], natMap: {}, name: mymaster}",
		want: "family: leave it out|natMap: address_map|lazyConnect: leave it out|maxRetriesPerRequest: leave it out|keyPrefix: cache.namespace|enableReadyCheck: leave it out|sentinels: mode: sentinel"},
	{name: "node-redis", section: "{socket: {host: h, tls: true}, legacyMode: true}", want: "socket: addresses|legacyMode: leave it out"},
	{name: "redis-py", section: "{host: h, decode_responses: true, health_check_interval: 30, socket_keepalive: true, ssl_cert_reqs: none, retry_on_timeout: true, protocol: 3}",
		want: "decode_responses: leave it out|health_check_interval: leave it out|socket_keepalive: leave it out|ssl_cert_reqs: verifies|retry_on_timeout: leave it out|protocol: leave it out"},
	{name: "go-redis", section: "{Addrs: ['a:1'], MasterName: m, SentinelPassword: '%s', RouteByLatency: true, ReadOnly: true, MaxRedirects: 3, PoolTimeout: 4s, ConnMaxIdleTime: 5m, TLSConfig: {InsecureSkipVerify: true}}",
		want: "Addrs: addresses|MasterName: sentinel_master|SentinelPassword: \"sentinel_password\"|RouteByLatency: leave it out|ReadOnly: leave it out|MaxRedirects: leave it out|PoolTimeout: connections|TLSConfig: write tls"},
	{name: "Bitnami chart", section: "{architecture: replication, auth: {enabled: true, password: '%s', existingSecret: s}, master: {}, replica: {replicaCount: 3}}",
		want: "architecture: mode|auth: password_file|master: sentinel_master|replica: wait_replicas"},
	{name: "oauth2-proxy", section: "{connection_url: 'redis://:%s@r:6379', use_sentinel: true, sentinel_connection_urls: [], use_cluster: false, insecure_skip_tls_verify: true, ca_path: /ca}",
		want: "connection_url: write url|use_sentinel: mode: sentinel|sentinel_connection_urls: mode: sentinel|use_cluster: mode: cluster|insecure_skip_tls_verify: verifies|ca_path: write tls"},
	{name: "Argo CD", section: "{server: 'argocd-redis:6379', compression: gzip, sentinelmaster: master}", want: "server: addresses|compression: cache.codec|sentinelmaster: \"sentinel_master\""},
	{name: "Grafana remote cache", section: "{connstr: 'addr=127.0.0.1:6379,pool_size=100,db=0,password=%s,ssl=false'}", want: "connstr: write url"},
	{name: "Loki and Mimir", section: "{endpoint: 'redis:6379', master_name: m, expiration: 1h, db: 0, pool_size: 0, password: '%s', tls_enabled: false, tls_insecure_skip_verify: false, max_connection_age: 0s}",
		want: "endpoint: addresses|expiration: with a unit|tls_enabled: cache.redis.tls.enabled|max_connection_age: connection_lifetime"},
	{name: "Traefik", section: "{endpoints: ['r:6379'], rootKey: t, sentinel: {masterName: m}}", want: "endpoints: addresses|rootKey: cache.namespace|sentinel: mode: sentinel"},
	{name: "Kong", section: "{redis_host: r, redis_timeout: 2000, redis_ssl_verify: false, redis_server_name: r}", want: "redis_host: addresses|redis_timeout: cache.timeout|redis_ssl_verify: verifies|redis_server_name: server_name"},
	{name: "Sentry", section: "{hosts: {\"0\": {host: r, port: 6379}}}", file: "", want: "hosts: addresses"},
	{name: "Mastodon", env: "FXCACHE_CACHE__REDIS__HOST=localhost\nFXCACHE_CACHE__REDIS__PORT=6379\nFXCACHE_CACHE__REDIS__SENTINELS=a", want: "host: addresses|port: addresses|sentinels: mode: sentinel"},
	{name: "AWS ElastiCache", section: "{primaryEndpoint: 'm.x.cache.amazonaws.com:6379', transitEncryption: true, authToken: '%s'}", want: "primaryEndpoint: addresses|transitEncryption: tls: {}|authToken: password_file"},
	{name: "Google Memorystore", section: "{discovery_endpoint: '10.0.0.3:6379', auth_string: '%s', server_ca_certs: x}", want: "discovery_endpoint: addresses|auth_string: password_file|server_ca_certs: write tls"},

	// Values of other systems.
	{name: "host alone", section: "addresses: [redis]", want: "addresses[0]: must be host:port"},
	{name: "URL as address", section: "addresses: ['redis://:%s@redis:6379/0']", want: "addresses[0]: that belongs in url"},
	{name: "blanks", section: "{mode: cluster, addresses: 'a:1 b:2'}", want: "addresses[0]: must be one host:port"},
	{name: "semicolons", section: "{mode: cluster, addresses: 'a:1;b:2'}", want: "addresses[0]: must be one host:port"},
	{name: "trailing comma", section: "{mode: cluster, addresses: 'a:1,b:2,'}", want: "addresses: remove the comma"},
	{name: "several without a mode", section: "addresses: ['a:1', 'b:2', 'c:3']", want: "addresses: write mode: cluster"},
	{name: "sentinel without its mode", section: "{addresses: ['s:26379'], sentinel_master: mymaster, sentinel_password: '%s'}", want: "sentinel_master: mode: sentinel|sentinel_password: mode: sentinel"},
	{name: "client name", section: "client_name: my shop", want: "client_name: must not have blanks"},
	{name: "placeholder", section: "{addresses: ['${REDIS_HOST}:6379'], password: '${REDIS_PASSWORD:-%s}', db: '${DB}'}", want: "addresses[0]: placeholder|password: placeholder|db: placeholder"},
	{name: "Go template", section: "password: '{{ .Values.redis.password }}'", want: "password: placeholder"},
	{name: "ERB", section: "url: '<%%= ENV[\"REDIS_URL\"] %%>'", want: "url: placeholder"},
	{name: "shell", section: "{username: $REDIS_USER, addresses: '$REDIS_HOST:6379'}", want: "username: placeholder|addresses: placeholder"},
	{name: "milliseconds as numbers", section: "{dial_timeout: 5000, lease_ttl: 300ns}", want: "dial_timeout: 5000ms|lease_ttl: did you mean 300s?"},
	{name: "zeros", section: "{lanes: 0, connections: 0, addresses: [], client_name: '', dial_timeout: 0s, mode: ''}",
		want: "lanes: remove the key|connections: remove the key|addresses: remove the key|client_name: at least one|dial_timeout: must be positive|mode: standalone"},
	{name: "empty variable", section: "password: '%s'", env: "FXCACHE_CACHE__REDIS__PASSWORD=", want: "password: is empty, and would replace the value in"},
	{name: "empty URL", env: "FXCACHE_CACHE__REDIS__URL=", want: "url: must not be empty"},
	{name: "one underscore", env: "FXCACHE_CACHE_REDIS_PASSWORD=%s\nFXCACHE_CACHE_TIMEOUT=1s\nFXCACHE_CACHE__REDIS_ADDRESSES=a:1\nFXCACHE_SESSION_CACHE_STALE_AFTER=1m",
		want: ": FXCACHE_CACHE__REDIS__PASSWORD|: FXCACHE_CACHE__TIMEOUT|redis_addresses: FXCACHE_CACHE__REDIS__ADDRESSES|: FXCACHE_SESSION_CACHE__STALE_AFTER"},
	{name: "no strategy", file: "cache:\n  namespace: shop\n  redis:\n    addresses: [redis:6379]\n    password: '%s'\n    hots: x\n", want: "cache.redis: write strategy: redis|hots: valid keys"},
	{name: "Redis at the top", file: "cache: {strategy: redis, namespace: shop}\nredis: {password: '%s'}\n", want: "redis: did you mean cache.redis?"},
	{name: "Redis in the cache", file: "cache: {strategy: redis, namespace: shop, host: h, password: '%s'}\n", want: "host: write it in cache.redis|password: write it in cache.redis"},
	{name: "the cache in Redis", section: "{namespace: a, max_ttl: 5m}", want: "namespace: cache.namespace|max_ttl: cache.max_ttl"},
	{name: "generic cache", file: "cache: {type: redis, prefix: shop, ttl_seconds: 300, serializer: json, enabled: true, max_size: 100}\n",
		want: "type: write strategy|prefix: write namespace|ttl_seconds: default_ttl with a unit|serializer: write codec|enabled: strategy: noop|max_size: bigcache"},
	{name: "tabs", file: "cache:\n\tstrategy: redis\n\tredis:\n\t\tpassword: '%s'\n", want: ": indented with a tab"},
	{name: "vault", section: "password: !vault '%s'", want: ": has a tag"},
	{name: "missing PEM files", section: "{addresses: ['r:1'], tls: {ca: nowhere/%s.pem, cert: nowhere/c.pem, key: nowhere/k.pem}}", want: "tls.ca: cannot be read|tls.cert: cannot be read|tls.key: cannot be read"},
}

// What people have for other systems either works, or the error says what to write in its place,
// for each key. It never holds the password.
func TestShapes(t *testing.T) {
	t.Parallel()
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			text := shape.file
			if text == "" {
				section := strings.ReplaceAll(shape.section, "\n", "\n    ")
				if section == "" {
					section = "{}"
				}
				text = "cache:\n  strategy: redis\n  namespace: shop\n  redis:\n    " + section + "\n"
			}
			secret := strings.NewReplacer("%s", canary, "%%", "%")
			variables := strings.Split(secret.Replace(shape.env), "\n")
			var source *config.Source
			err := fx.New(fxcache.Module, fx.NopLogger, fxcache.ConfigFile(file(t, "a.yaml", secret.Replace(text))),
				fxcache.Environment("FXCACHE_", func() []string { return variables }), fx.Populate(&source)).Err()
			if said := fmt.Sprintf("%v %+v %v", err, err, source); strings.Contains(said, canary) {
				t.Errorf("it says the password: %s", said)
			}
			var problems *config.Error
			if shape.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			} else if !errors.As(err, &problems) {
				t.Fatalf("%v, want a *config.Error", err)
			}
			for want := range strings.SplitSeq(shape.want, "|") {
				key, advice, _ := strings.Cut(want, ": ")
				found := false
				for _, p := range problems.Problems {
					found = found || strings.HasSuffix(p.Path, key) && strings.Contains(p.Message, advice)
				}
				if !found {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "valid keys:") && !strings.Contains(shape.want, "valid keys") {
				t.Errorf("a key has no advice: %v", err)
			}
		})
	}
}
