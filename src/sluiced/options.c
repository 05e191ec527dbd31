#include "sluiced/options.h"

#include <ctype.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

#include "base/tcp.h"
#include "sluiced/option_table.h"
#include "sluiced/options_tls.h"

#define CONNECTIONS_DEFAULT 1048576
#define MEMORY_DEFAULT	    128
#define MEMORY_MIN	    16
#define MEMORY_MAX	    65536

// Where the page is served, if nothing else is said: for this machine alone.
#define METRICS_DEFAULT "127.0.0.1:9177"

#define HELP_COLUMN 23
#define HELP_WIDTH  80

// Words up to the end of the line, further lines below them.
static void help_text_print(const char *text)
{
	int at = HELP_COLUMN;

	while (*text) {
		int length = (int)strcspn(text, " ");

		if (at > HELP_COLUMN && at + 1 + length > HELP_WIDTH) {
			printf("\n%*s", HELP_COLUMN, "");
			at = HELP_COLUMN;
		}
		at += printf("%s%.*s", at > HELP_COLUMN ? " " : "", length, text);
		text += length;
		text += strspn(text, " ");
	}
	putchar('\n');
}

void options_help_print(void)
{
	puts("Usage: sluiced --node NAME [OPTION]...\n"
	     "Runs one Sluice node in the foreground, logs to standard error and says `ready` "
	     "there.\n");
	for (const struct daemon_option *option = daemon_options; option->name; option++) {
		int length = printf("  --%s%s%s", option->name, option->argument ? " " : "",
				    option->argument ? option->argument : "");

		if (length > HELP_COLUMN - 2) {
			putchar('\n');
			length = 0;
		}
		printf("%*s", HELP_COLUMN - length, "");
		help_text_print(option->text);
	}
	puts("\n"
	     "Example: sluiced --node a --workers 1 --idle spin\n"
	     "The manual is sluiced(8); objects are configured by sluice(1).");
}

// Options seen so far, so that the file does not override the command line.
struct parser {
	struct options *options;
	unsigned int set;
};

static int parse_number(const char *name, const char *text, unsigned long min, unsigned long max,
			uint32_t *number, struct error *err)
{
	unsigned long value;
	char *end;

	value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || value < min || value > max)
		return error_set(err, "%s: '%s' is no number from %lu to %lu", name, text, min,
				 max);
	*number = (uint32_t)value;
	return 0;
}

// "1", "2-3,6": CPUs that exist, each once.
static int parse_workers(const char *text, struct engine_options *engine, struct error *err)
{
	cpu_set_t present;

	if (sched_getaffinity(0, sizeof(present), &present) < 0)
		return error_errno(err, "workers: the CPUs can't be found out");
	engine->worker_count = 0;
	while (*text) {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (!isdigit((unsigned char)*text))
			return error_set(err, "workers: '%s' is no list of CPUs, as 2-3,6", text);
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				return error_set(err, "workers: '%s' is no list of CPUs, as 2-3,6",
						 text);
			last = strtoul(end + 1, &end, 10);
		}
		if ((*end && *end != ',') || (*end == ',' && !end[1]) || last < first ||
		    last >= CPU_SETSIZE)
			return error_set(err, "workers: '%s' is no list of CPUs, as 2-3,6", text);
		for (unsigned long cpu = first; cpu <= last; cpu++) {
			if (!CPU_ISSET(cpu, &present))
				return error_set(
					err, "workers: there is no CPU %lu for this process", cpu);
			CPU_CLR(cpu, &present); // each only once
			if (engine->worker_count == ENGINE_WORKERS_MAX)
				return error_set(err, "workers: more than %d", ENGINE_WORKERS_MAX);
			engine->cpus[engine->worker_count++] = (int)cpu;
		}
		text = *end ? end + 1 : end;
	}
	return engine->worker_count ? 0 : error_set(err, "workers: no CPU");
}

static int copy_text(const char *name, const char *text, char *result, size_t size,
		     struct error *err)
{
	if (!*text || strlen(text) >= size)
		return error_set(err, "%s: 1 to %zu characters, please", name, size - 1);
	strcpy(result, text);
	return 0;
}

static int set_node(struct options *o, const char *text, struct error *err)
{
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return error_set(err,
					 "node: '%s' is no name: letters, digits, '.', '_' and '-'",
					 text);
	return copy_text("node", text, o->node, sizeof(o->node), err);
}

// One configuration file for many hosts: each is the node of its own name.
static int set_node_to_host(struct options *o, struct error *err)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof(name)) < 0)
		return error_errno(err, "node");
	return set_node(o, name, err);
}

static int set_api(struct options *o, const char *text, struct error *err)
{
	if (strncmp(text, "unix:", 5) != 0 || !text[5])
		return error_set(err, "api: '%s' is not unix:PATH", text);
	return copy_text("api", text, o->api, sizeof(o->api), err);
}

static int set_state(struct options *o, const char *text, struct error *err)
{
	return copy_text("state", text, o->state, sizeof(o->state), err);
}

static int set_flows(struct options *o, const char *text, struct error *err)
{
	return copy_text("flows", text, o->flows, sizeof(o->flows), err);
}

static int set_workers(struct options *o, const char *text, struct error *err)
{
	return parse_workers(text, &o->engine, err);
}

static int set_idle(struct options *o, const char *text, struct error *err)
{
	o->engine.spin = strcmp(text, "spin") == 0;
	if (!o->engine.spin && strcmp(text, "sleep") != 0)
		return error_set(err, "idle: '%s' is neither sleep nor spin", text);
	return 0;
}

static int set_connections(struct options *o, const char *text, struct error *err)
{
	return parse_number("connections", text, 1, 1ul << 30, &o->engine.connections, err);
}

static int set_memory(struct options *o, const char *text, struct error *err)
{
	return parse_number("memory", text, MEMORY_MIN, MEMORY_MAX, &o->engine.packet_memory, err);
}

static int set_metrics(struct options *o, const char *text, struct error *err)
{
	struct tcp_address address;

	if (tcp_address_parse(text, &address, err) < 0)
		return error_prefix(err, "metrics");
	return copy_text("metrics", text, o->metrics, sizeof(o->metrics), err);
}

static int set_flow_offload(struct options *o, const char *text, struct error *err)
{
	o->engine.flow_offload = strcmp(text, "on") == 0;
	if (!o->engine.flow_offload && strcmp(text, "off") != 0)
		return error_set(err, "flow-offload: '%s' is neither on nor off", text);
	return 0;
}

static int set_log_format(struct options *o, const char *text, struct error *err)
{
	o->log_format = strcmp(text, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
	if (o->log_format == LOG_FORMAT_TEXT && strcmp(text, "text") != 0)
		return error_set(err, "log-format: '%s' is neither text nor json", text);
	return 0;
}

static int set_page(struct options *o, const char *text, struct error *err)
{
	o->page = strcmp(text, "on") == 0;
	if (!o->page && strcmp(text, "off") != 0)
		return error_set(err, "page: '%s' is neither on nor off", text);
	return 0;
}

static const struct setting {
	const char *name;
	int (*set)(struct options *options, const char *text, struct error *err);
	const char *alone; // what it is where it stands without a value; NULL: it needs one
} settings[] = {
	{"node", set_node},	    {"api", set_api},
	{"state", set_state},	    {"workers", set_workers},
	{"idle", set_idle},	    {"connections", set_connections},
	{"memory", set_memory},	    {"flow-offload", set_flow_offload},
	{"metrics", set_metrics},   {"log-format", set_log_format},
	{"page", set_page, "on"},   {"listen", set_listen},
	{"tls-cert", set_tls_cert}, {"tls-key", set_tls_key},
	{"tls-ca", set_tls_ca},	    {"flows", set_flows},
};

#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

static int config_entry(struct parser *parser, const char *path, yaml_document_t *document,
			const yaml_node_t *key, const yaml_node_t *value, struct error *err)
{
	size_t line = key->start_mark.line + 1;

	if (key->type == YAML_SCALAR_NODE &&
	    strcmp((const char *)key->data.scalar.value, "roles") == 0)
		return options_read_roles(parser->options, path, document, value, err);
	if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE)
		return error_set(err, "%s:%zu: expected KEY: VALUE", path, line);
	for (unsigned int i = 0; i < SETTING_COUNT; i++) {
		if (strcmp(settings[i].name, (const char *)key->data.scalar.value) != 0)
			continue;
		if (parser->set & (1u << i))
			return 0;
		if (settings[i].set(parser->options, (const char *)value->data.scalar.value, err) ==
		    0)
			return 0;
		return error_prefix(err, "%s:%zu", path, line);
	}
	return error_set(err, "%s:%zu: unknown key '%s'", path, line,
			 (const char *)key->data.scalar.value);
}

static int read_config(struct parser *parser, const char *path, struct error *err)
{
	FILE *file = fopen(path, "r");
	yaml_parser_t yaml;
	yaml_document_t document;
	yaml_node_t *root;
	int result = 0;

	if (!file)
		return error_errno(err, "%s", path);
	yaml_parser_initialize(&yaml);
	yaml_parser_set_input_file(&yaml, file);
	if (!yaml_parser_load(&yaml, &document)) {
		result = error_set(err, "%s:%zu: %s", path, yaml.problem_mark.line + 1,
				   yaml.problem ? yaml.problem : "no YAML");
		yaml_parser_delete(&yaml);
		fclose(file);
		return result;
	}
	root = yaml_document_get_root_node(&document);
	if (root && root->type != YAML_MAPPING_NODE)
		result = error_set(err, "%s:1: expected KEY: VALUE lines", path);
	for (yaml_node_pair_t *pair = root && result == 0 ? root->data.mapping.pairs.start : NULL;
	     pair && result == 0 && pair < root->data.mapping.pairs.top; pair++)
		result = config_entry(parser, path, &document,
				      yaml_document_get_node(&document, pair->key),
				      yaml_document_get_node(&document, pair->value), err);
	yaml_document_delete(&document);
	yaml_parser_delete(&yaml);
	fclose(file);
	return result;
}

// Beside the API's socket; a socket without a file has no place.
static void set_flows_default(struct options *o)
{
	const char *path = o->api + strlen("unix:"), *slash = strrchr(path, '/');

	if (*path == '@')
		strcpy(o->flows, "none");
	else
		snprintf(o->flows, sizeof(o->flows), "%.*s%s.flows",
			 slash ? (int)(slash + 1 - path) : 0, path, o->node);
}

int options_parse(int argc, char **argv, struct options *options, struct error *err)
{
	struct option names[SETTING_COUNT + 4] = {{NULL, 0, NULL, 0}};
	struct parser parser = {.options = options};
	const char *config = NULL;
	int choice;

	memset(options, 0, sizeof(*options));
	strcpy(options->api, "unix:/run/sluice/sluiced.sock");
	options->engine.connections = CONNECTIONS_DEFAULT;
	options->engine.packet_memory = MEMORY_DEFAULT;
	options->engine.flow_offload = true;
	options->engine.worker_count = 1;
	options->engine.cpus[0] = -1;
	for (unsigned int i = 0; i < SETTING_COUNT; i++)
		names[i] = (struct option){
			settings[i].name, settings[i].alone ? optional_argument : required_argument,
			NULL, (int)i + 1000};
	names[SETTING_COUNT] = (struct option){"config", required_argument, NULL, 'c'};
	names[SETTING_COUNT + 1] = (struct option){"help", no_argument, NULL, 'h'};
	names[SETTING_COUNT + 2] = (struct option){"version", no_argument, NULL, 'v'};
	optind = 1;
	opterr = 0;
	while ((choice = getopt_long(argc, argv, ":h", names, NULL)) != -1) {
		if (choice >= 1000) {
			const struct setting *setting = &settings[choice - 1000];
			const char *text = optarg;

			// Also as a word of its own.
			if (!text && optind < argc && *argv[optind] != '-')
				text = argv[optind++];
			if (setting->set(options, text ? text : setting->alone, err) < 0) {
				struct error found = *err;

				return error_set(err, "--%.500s", found.text);
			}
			parser.set |= 1u << (choice - 1000);
		} else if (choice == 'c') {
			config = optarg;
		} else if (choice == 'h') {
			options->help = true;
			return 0;
		} else if (choice == 'v') {
			options->version = true;
			return 0;
		} else if (choice == ':') {
			return error_set(err, "%s needs a value; see --help", argv[optind - 1]);
		} else {
			return error_set(err, "unknown option %s; see --help", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return error_set(err, "'%s' is no option; see --help", argv[optind]);
	if (config && read_config(&parser, config, err) < 0)
		return -1;
	if (config && !options->node[0] && set_node_to_host(options, err) < 0)
		return error_prefix(err, "%s: no node, and the host's name is none for it", config);
	if (!options->node[0])
		return error_set(err, "--node NAME is needed; see --help");
	if (options->page && !options->metrics[0])
		strcpy(options->metrics, METRICS_DEFAULT);
	if (!options->flows[0])
		set_flows_default(options);
	if (options_check_tls(options, err) < 0)
		return -1;
	if (!options->state[0])
		snprintf(options->state, sizeof(options->state), "/var/lib/sluice/%s.db",
			 options->node);
	return 0;
}

void options_clear(struct options *options)
{
	rpc_roles_clear(&options->roles);
}
