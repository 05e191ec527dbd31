// The options of the API over TLS.

#pragma once

#include <yaml.h>

#include "sluiced/options.h"

int set_listen(struct options *options, const char *text, struct error *err);
int set_tls_cert(struct options *options, const char *text, struct error *err);
int set_tls_key(struct options *options, const char *text, struct error *err);
int set_tls_ca(struct options *options, const char *text, struct error *err);

// The roles of the configuration file: {ROLE: NAME or [NAME, ...]}. The line begins with the file's
// line.
int options_read_roles(struct options *options, const char *path, yaml_document_t *document,
		       const yaml_node_t *roles, struct error *err);

// Do they fit together?
int options_check_tls(const struct options *options, struct error *err);
