#include "sluiced/options_tls.h"

#include <stdio.h>
#include <string.h>

#include "base/tcp.h"

int set_listen(struct options *options, const char *text, struct error *err)
{
	struct tcp_address address;

	if (tcp_address_parse(text, &address, err) < 0)
		return error_prefix(err, "listen");
	if (strlen(text) >= sizeof(options->listen))
		return error_set(err, "listen: '%.100s...' is too long", text);
	strcpy(options->listen, text);
	return 0;
}

static int set_path(char path[OPTION_PATH_SIZE], const char *name, const char *text,
		    struct error *err)
{
	if (!*text || strlen(text) >= OPTION_PATH_SIZE)
		return error_set(err, "%s: 1 to %d characters, please", name, OPTION_PATH_SIZE - 1);
	strcpy(path, text);
	return 0;
}

int set_tls_cert(struct options *options, const char *text, struct error *err)
{
	return set_path(options->tls_cert, "tls-cert", text, err);
}

int set_tls_key(struct options *options, const char *text, struct error *err)
{
	return set_path(options->tls_key, "tls-key", text, err);
}

int set_tls_ca(struct options *options, const char *text, struct error *err)
{
	return set_path(options->tls_ca, "tls-ca", text, err);
}

static int role_add(struct options *options, const char *path, const char *role,
		    const yaml_node_t *name, struct error *err)
{
	size_t line = name->start_mark.line + 1;

	if (name->type != YAML_SCALAR_NODE)
		return error_set(err, "%s:%zu: roles: %s: expected names of certificates", path,
				 line, role);
	if (rpc_roles_add(&options->roles, role, (const char *)name->data.scalar.value, err) < 0)
		return error_prefix(err, "%s:%zu: roles", path, line);
	return 0;
}

int options_read_roles(struct options *options, const char *path, yaml_document_t *document,
		       const yaml_node_t *roles, struct error *err)
{
	if (roles->type != YAML_MAPPING_NODE)
		return error_set(err, "%s:%zu: roles: expected ROLE: [NAME, ...], as read: [\"*\"]",
				 path, roles->start_mark.line + 1);
	for (const yaml_node_pair_t *pair = roles->data.mapping.pairs.start;
	     pair < roles->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(document, pair->key);
		const yaml_node_t *value = yaml_document_get_node(document, pair->value);
		const char *role = (const char *)key->data.scalar.value;

		if (key->type != YAML_SCALAR_NODE)
			return error_set(err, "%s:%zu: roles: expected ROLE: [NAME, ...]", path,
					 key->start_mark.line + 1);
		if (value->type != YAML_SEQUENCE_NODE) {
			if (role_add(options, path, role, value, err) < 0)
				return -1;
			continue;
		}
		for (const yaml_node_item_t *item = value->data.sequence.items.start;
		     item < value->data.sequence.items.top; item++)
			if (role_add(options, path, role, yaml_document_get_node(document, *item),
				     err) < 0)
				return -1;
	}
	return 0;
}

int options_check_tls(const struct options *options, struct error *err)
{
	const char *const files[][2] = {
		{options->tls_cert, "tls-cert"},
		{options->tls_key, "tls-key"},
		{options->tls_ca, "tls-ca"},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (*options->listen && !*files[i][0])
			return error_set(err, "--listen needs --%s FILE; see --help", files[i][1]);
		if (!*options->listen && *files[i][0])
			return error_set(err, "--%s needs --listen HOST:PORT; see --help",
					 files[i][1]);
	}
	if (!*options->listen && options->roles.count)
		return error_set(err, "roles need --listen HOST:PORT: who may open the Unix socket "
				      "may do everything");
	return 0;
}
