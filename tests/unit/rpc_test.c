// The gRPC server and client against each other, and the client against a server that is none.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/client.h"
#include "rpc_service.h"
#include "sluice.pb-c.h"

static ProtobufCMessage *call_get(struct rpc_client *client, const char *kind, const char *name,
				  struct rpc_status *status)
{
	Sluice__V1__GetRequest request;
	ProtobufCMessage *response;

	sluice__v1__get_request__init(&request);
	request.kind = (char *)(uintptr_t)kind;
	request.name = (char *)(uintptr_t)name;
	rpc_client_call(client, &sluice__v1__sluice__descriptor, "Get", &request.base, &response,
			status);
	return response;
}

static void assert_version(struct rpc_client *client)
{
	Sluice__V1__VersionRequest request = SLUICE__V1__VERSION_REQUEST__INIT;
	ProtobufCMessage *response;
	struct rpc_status status;

	assert_int_equal(rpc_client_call(client, &sluice__v1__sluice__descriptor, "Version",
					 &request.base, &response, &status),
			 0);
	assert_string_equal(((Sluice__V1__VersionResponse *)response)->version, "1");
	// Who calls: the user of this process, by the file that getpwuid would ask first.
	assert_string_equal(((Sluice__V1__VersionResponse *)response)->node,
			    getpwuid(geteuid())->pw_name);
	protobuf_c_message_free_unpacked(response, NULL);
	rpc_status_clear(&status);
}

static void test_unary(void **state)
{
	struct service *service = service_new(NULL);
	struct rpc_client *client = rpc_client_new(service_connect(service));
	struct rpc_status status;
	size_t size = 20u << 20;
	char *name = malloc(size + 1);

	service_start(service);
	assert_version(client);
	// Many windows long.
	memset(name, 'x', size);
	name[size] = 0;
	Sluice__V1__GetResponse *response =
		(Sluice__V1__GetResponse *)call_get(client, "", name, &status);
	assert_non_null(response);
	assert_int_equal(response->revision, size);
	sluice__v1__get_response__free_unpacked(response, NULL);
	rpc_status_clear(&status);
	free(name);

	Sluice__V1__TraceRequest trace;
	ProtobufCMessage *none;
	sluice__v1__trace_request__init(&trace);
	assert_int_equal(rpc_client_call(client, &sluice__v1__sluice__descriptor, "Trace",
					 &trace.base, &none, &status),
			 -1);
	assert_int_equal(status.code, RPC_UNIMPLEMENTED);
	assert_string_equal(status.message, "no method /sluice.v1.Sluice/Trace");
	rpc_status_clear(&status);
	for (int i = 0; i < 1000; i++)
		assert_version(client);
	rpc_client_close(client);
	service_stop(service);
}

static void test_details(void **state)
{
	struct service *service = service_new(NULL);
	struct rpc_client *client = rpc_client_new(service_connect(service));
	struct rpc_status status;
	Sluice__V1__Problems *problems;

	service_start(service);
	assert_null(call_get(client, "problems", "3", &status));
	assert_int_equal(status.code, RPC_INVALID_ARGUMENT);
	assert_string_equal(status.message, "100% w\xc3\xbcrong\n3");
	problems = (Sluice__V1__Problems *)rpc_status_detail(&status,
							     &sluice__v1__problems__descriptor);
	assert_int_equal(problems->n_problems, 3);
	sluice__v1__problems__free_unpacked(problems, NULL);
	assert_null(rpc_status_detail(&status, &sluice__v1__problem__descriptor));
	rpc_status_clear(&status);
	assert_null(call_get(client, "problems", "300", &status));
	problems = (Sluice__V1__Problems *)rpc_status_detail(&status,
							     &sluice__v1__problems__descriptor);
	assert_in_range(problems->n_problems, 100, 299);
	assert_int_equal(problems->total, 300);
	sluice__v1__problems__free_unpacked(problems, NULL);
	rpc_status_clear(&status);
	rpc_client_close(client);
	service_stop(service);
}

struct receiving {
	size_t count;
	size_t stop_after;
};

static int receive(void *context, const ProtobufCMessage *message)
{
	struct receiving *receiving = context;

	return ++receiving->count == receiving->stop_after;
}

static int call_flows(struct rpc_client *client, const char *count, struct receiving *receiving,
		      struct rpc_status *status)
{
	Sluice__V1__FlowsRequest request;

	sluice__v1__flows_request__init(&request);
	request.port = (char *)(uintptr_t)count;
	return rpc_client_stream(client, &sluice__v1__sluice__descriptor, "Flows", &request.base,
				 receive, receiving, status);
}

static void test_stream(void **state)
{
	struct service *service = service_new(NULL);
	struct rpc_client *client = rpc_client_new(service_connect(service));
	struct receiving receiving = {0};
	struct rpc_status status;

	service_start(service);
	assert_int_equal(call_flows(client, "100000", &receiving, &status), -1);
	assert_int_equal(receiving.count, 100000);
	assert_int_equal(status.code, RPC_OUT_OF_RANGE);
	assert_string_equal(status.message, "end");
	rpc_status_clear(&status);
	receiving = (struct receiving){0};
	assert_int_equal(call_flows(client, "0", &receiving, &status), -1);
	assert_int_equal(receiving.count, 0);
	rpc_status_clear(&status);
	// Cut off in the middle, then the next call on the same connection.
	receiving = (struct receiving){.stop_after = 10};
	assert_int_equal(call_flows(client, "1000000000", &receiving, &status), 0);
	assert_int_equal(receiving.count, 10);
	rpc_status_clear(&status);
	assert_version(client);
	rpc_client_close(client);
	service_stop(service);
}

static void test_client_hostile_server(void **state)
{
	srand(2);
	for (int round = 0; round < 300; round++) {
		struct rpc_status status;
		uint8_t data[200];
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		struct rpc_client *client = rpc_client_new(fds[0]);
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)(rand() % 4 ? 0 : rand());
		// Settings, so that what follows is looked at.
		if (rand() % 4)
			memcpy(data, "\0\0\0\4\0\0\0\0\0", 9);
		assert_int_equal(send(fds[1], data, sizeof(data), 0), (ssize_t)sizeof(data));
		shutdown(fds[1], SHUT_WR);
		assert_null(call_get(client, "a", "b", &status));
		assert_int_not_equal(status.code, RPC_OK);
		rpc_status_clear(&status);
		rpc_client_close(client);
		close(fds[1]);
	}
}

static void test_unix_socket(void **state)
{
	char directory[] = "/tmp/sluice-rpc-XXXXXX";
	char path[100], address[110];
	struct service *service = service_new(NULL), *second = service_new(NULL);
	struct rpc_client *client;
	struct stat status;
	struct error err;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/run/api.sock", directory);
	snprintf(address, sizeof(address), "unix:%s", path);
	assert_int_equal(rpc_client_open(address, NULL, &client, &err), -1);
	assert_non_null(strstr(err.text, ": No such file or directory (is it running?)"));
	assert_int_equal(rpc_server_listen(service->server, address, NULL, &err), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0660);
	assert_int_equal(rpc_server_listen(second->server, address, NULL, &err), -1);
	assert_non_null(strstr(err.text, "in use by another process"));
	service_start(service);
	assert_int_equal(rpc_client_open(address, NULL, &client, &err), 0);
	assert_version(client);
	rpc_client_close(client);
	service_stop(service);
	assert_int_equal(stat(path, &status), -1);

	// Left behind by one that crashed.
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	close(fd);
	assert_int_equal(rpc_client_open(address, NULL, &client, &err), -1);
	assert_int_equal(rpc_server_listen(second->server, address, NULL, &err), 0);
	service_free(second);
	// What is no socket stays.
	second = service_new(NULL);
	fclose(fopen(path, "w"));
	assert_int_equal(rpc_server_listen(second->server, address, NULL, &err), -1);
	assert_non_null(strstr(err.text, "is no socket"));
	assert_int_equal(rpc_server_listen(second->server, "tcp:1", NULL, &err), -1);
	assert_int_equal(rpc_server_listen(second->server, "unix:", NULL, &err), -1);
	assert_int_equal(rpc_server_listen(second->server, "unix:/nonexistent/a/b", NULL, &err),
			 -1);
	service_free(second);
	unlink(path);
	*strrchr(path, '/') = 0;
	rmdir(path);
	rmdir(directory);
}

static void test_encodings(void **state)
{
	static const char *const texts[] = {"", "a", "ab", "abc", "abcd", "\xff\xfe\xfd\xfc\xfb"};
	char decoded[32];
	size_t size;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char *text = base64_encode((const uint8_t *)texts[i], strlen(texts[i]));
		uint8_t *data = base64_decode(text, strlen(text), &size);

		assert_int_equal(size, strlen(texts[i]));
		assert_memory_equal(data, texts[i], size);
		free(data);
		free(text);
		text = percent_encode(texts[i]);
		percent_decode(text, strlen(text), decoded, sizeof(decoded));
		assert_string_equal(decoded, texts[i]);
		free(text);
	}
	assert_null(base64_decode("a*b", 3, &size));
	percent_decode("%", 1, decoded, sizeof(decoded));
	assert_string_equal(decoded, "%");
	percent_decode("%4", 2, decoded, sizeof(decoded));
	assert_string_equal(decoded, "%4");
	percent_decode("%zz%41", 6, decoded, sizeof(decoded));
	assert_string_equal(decoded, "%zzA");
	percent_decode("abcdef", 6, decoded, 4);
	assert_string_equal(decoded, "abc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary),	    cmocka_unit_test(test_details),
		cmocka_unit_test(test_stream),	    cmocka_unit_test(test_client_hostile_server),
		cmocka_unit_test(test_unix_socket), cmocka_unit_test(test_encodings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
