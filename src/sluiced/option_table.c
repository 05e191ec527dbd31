#include "sluiced/option_table.h"

#include <stddef.h>

const struct daemon_option daemon_options[] = {
	{"node", "NAME",
	 "name of this node's Node object (with --config and none in it, the host's name)"},
	{"api", "unix:PATH", "where the API answers (unix:/run/sluice/sluiced.sock)"},
	{"state", "PATH", "desired state on disk (/var/lib/sluice/NAME.db)"},
	{"flows", "PATH|none",
	 "file in memory in which connections outlive the process: on a tmpfs, or a hugetlbfs with "
	 "pages of 2 MiB (NAME.flows beside the API's socket)"},
	{"workers", "CPUS", "a polling thread on each CPU, as 2-3,6 (one thread, on any CPU)"},
	{"idle", "sleep|spin", "what a worker without packets does (sleep)"},
	{"connections", "N", "how many live connections the node holds (1048576)"},
	{"memory", "MIB", "memory for packet buffers (128)"},
	{"metrics", "HOST:PORT",
	 "answers GET /metrics (for Prometheus) and /healthz there, as 127.0.0.1:9177, [::1]:9177 "
	 "or :9177 (all addresses)"},
	{"page", "on|off",
	 "a web page to look at the node, on the metrics address, or 127.0.0.1:9177 without one; "
	 "whoever reaches that address may look, for it asks nobody who they are (off)"},
	{"listen", "HOST:PORT",
	 "the API answers there, too, by TLS 1.3 to who has a certificate and a role, as "
	 "[::1]:8443 or "
	 ":8443 (all addresses)"},
	{"tls-cert", "FILE",
	 "certificate of this node and those that lead to the CA, in PEM; read anew when it "
	 "changes, "
	 "as are the next two"},
	{"tls-key", "FILE", "its private key, in PEM, without password"},
	{"tls-ca", "FILE", "the CAs whose certificates callers may have, in PEM"},
	{"flow-offload", "on|off",
	 "established connections between kernel interfaces go on in the kernel (on)"},
	{"log-format", "text|json",
	 "a line of the log is `time level message key=value ...` or a JSON object (text)"},
	{"config", "FILE",
	 "the same keys in YAML, and roles (read, operate, write) of certificates; the command "
	 "line goes "
	 "before it"},
	{"help", NULL, "prints this"},
	{"version", NULL, "prints the version"},
	{0},
};
