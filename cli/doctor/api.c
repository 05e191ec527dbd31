// Is sluiced there, and what does it say about itself?

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"

// A certificate that ends earlier is to be renewed.
#define CERTIFICATE_DAYS 14

// Who made the socket. 0: that can't be known.
static pid_t socket_owner(const char *api)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred owner = {0};
	socklen_t size = sizeof(owner);
	int fd;

	if (strncmp(api, "unix:", 5) != 0)
		return 0;
	api += 5;
	if (strncmp(api, "//", 2) == 0)
		api += 2;
	if (strlen(api) >= sizeof(address.sun_path))
		return 0;
	strcpy(address.sun_path, api);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &size) < 0)
		owner.pid = 0;
	close(fd);
	return owner.pid;
}

static ProtobufCMessage *ask(struct doctor *doctor, const char *method,
			     const ProtobufCMessage *request)
{
	struct rpc_status status;
	ProtobufCMessage *response = call(doctor->invocation, method, request, &status);

	if (!response)
		finding_add(doctor, "api", FINDING_PROBLEM,
			    "is sluiced running, and do --api or SLUICE_API name its address? "
			    "(systemctl status sluiced, journalctl -u sluiced)",
			    "%s: %s", method,
			    *status.message ? status.message : rpc_code_name(status.code));
	rpc_status_clear(&status);
	return response;
}

static Sluice__V1__GetResponse *get(struct doctor *doctor, const char *kind)
{
	Sluice__V1__GetRequest request;

	sluice__v1__get_request__init(&request);
	request.kind = (char *)(uintptr_t)kind;
	return (Sluice__V1__GetResponse *)ask(doctor, "Get", &request.base);
}

static void node_find(struct doctor *doctor)
{
	for (size_t i = 0; doctor->nodes && i < doctor->nodes->n_objects; i++) {
		const Sluice__V1__Object *object = doctor->nodes->objects[i];

		if (object->kind_case == SLUICE__V1__OBJECT__KIND_NODE &&
		    strcmp(object->node->name, doctor->version->node) == 0)
			doctor->node = object->node;
	}
	if (doctor->nodes && !doctor->node)
		finding_add(doctor, "objects", FINDING_WARNING,
			    "apply the set of objects, or start sluiced with --node as it is named "
			    "there (sluice get nodes)",
			    "there is no Node/%s: this node has no ports", doctor->version->node);
	else if (doctor->node)
		finding_add(doctor, "objects", FINDING_OK, "", "Node/%s is there",
			    doctor->version->node);
}

static void certificate_look(struct doctor *doctor, const Sluice__V1__ApiStats *api)
{
	const char *advice = "renew it (sluice help remote); sluiced reads the files of --tls-cert "
			     "and --tls-key anew when they change";
	double days;

	if (!api || api->certificate_not_after <= 0)
		return;
	days = (api->certificate_not_after - (double)time(NULL)) / 86400;
	if (days <= 0)
		finding_add(doctor, "certificate", FINDING_PROBLEM, advice,
			    "that of sluiced has ended, so that nobody reaches it by --listen");
	else if (days < CERTIFICATE_DAYS)
		finding_add(doctor, "certificate", FINDING_WARNING, advice,
			    "that of sluiced ends in %.1f days", days);
	else
		finding_add(doctor, "certificate", FINDING_OK, "",
			    "that of sluiced ends in %.0f days", days);
}

void doctor_api(struct doctor *doctor)
{
	Sluice__V1__VersionRequest version = SLUICE__V1__VERSION_REQUEST__INIT;
	Sluice__V1__StatsRequest stats = SLUICE__V1__STATS_REQUEST__INIT;

	doctor->version = (Sluice__V1__VersionResponse *)ask(doctor, "Version", &version.base);
	if (!doctor->version)
		return;
	finding_add(doctor, "api", FINDING_OK, "", "sluiced %s answers for node %s",
		    doctor->version->version, doctor->version->node);
	if (strcmp(doctor->version->version, SLUICE_VERSION) != 0)
		finding_add(doctor, "api", FINDING_WARNING,
			    "restart sluiced after an upgrade, or use the sluice that came with it",
			    "sluiced is version %s, and sluice is version %s",
			    doctor->version->version, SLUICE_VERSION);
	doctor->stats = (Sluice__V1__StatsResponse *)ask(doctor, "Stats", &stats.base);
	certificate_look(doctor, doctor->stats ? doctor->stats->api : NULL);
	doctor->nodes = get(doctor, "Node");
	doctor->networks = get(doctor, "Network");
	doctor->ports = get(doctor, "Port");
	doctor->pid = socket_owner(doctor->invocation->api);
	node_find(doctor);
}

void doctor_api_free(struct doctor *doctor)
{
	ProtobufCMessage *messages[] = {
		(ProtobufCMessage *)doctor->version, (ProtobufCMessage *)doctor->stats,
		(ProtobufCMessage *)doctor->nodes,   (ProtobufCMessage *)doctor->networks,
		(ProtobufCMessage *)doctor->ports,
	};

	for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++)
		if (messages[i])
			protobuf_c_message_free_unpacked(messages[i], NULL);
}

void doctor_ports(struct doctor *doctor)
{
	const Sluice__V1__StatsResponse *stats = doctor->stats;
	size_t up = 0, down = 0;

	if (!stats)
		return;
	for (size_t i = 0; i < stats->n_ports; i++) {
		const char *state = stats->ports[i]->value->state;

		if (strcmp(state, "up") == 0) {
			up++;
		} else if (strcmp(state, "down") == 0) {
			down++;
		} else {
			finding_add(
				doctor, "ports", FINDING_PROBLEM,
				"sluiced tries again each second; correct what it names, or the "
				"Port's device (sluice edit port NAME)",
				"%s: %s", stats->ports[i]->key, state);
		}
	}
	if (down)
		finding_add(
			doctor, "ports", FINDING_WARNING,
			"no workload is connected there, or its interface is down (sluice stats)",
			"%zu ports are up, %zu down", up, down);
	else
		finding_add(doctor, "ports", FINDING_OK, "", "%zu ports are up", up);
	if (stats->connections && stats->connections->max &&
	    stats->connections->current > stats->connections->max / 10 * 9)
		finding_add(doctor, "connections", FINDING_WARNING,
			    "start sluiced with a larger --connections",
			    "%llu of at most %llu connections are in use",
			    (unsigned long long)stats->connections->current,
			    (unsigned long long)stats->connections->max);
}
