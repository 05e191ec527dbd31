#include "port/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

// Not ours to mend.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "port/claims.skel.h"
#pragma GCC diagnostic pop

struct claims {
	int map_fd;
	struct claim *list; // what is in the map
	uint32_t count;
};

struct claims *claims_open(struct error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	struct claims *claims = calloc(1, sizeof(*claims));

	if (!claims) {
		error_set(err, "no memory");
		return NULL;
	}
	claims->map_fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "claims", sizeof(struct claim_key),
					sizeof(uint8_t), CLAIMS_MAX, &options);
	if (claims->map_fd < 0) {
		errno = -claims->map_fd;
		error_errno(err, "BPF map");
		free(claims);
		return NULL;
	}
	return claims;
}

void claims_close(struct claims *claims)
{
	if (!claims)
		return;
	close(claims->map_fd);
	free(claims->list);
	free(claims);
}

static struct claim_key make_key(const struct claim *claim)
{
	struct claim_key key = {
		.length = CLAIM_KEY_BITS + claim->prefix.length,
		.vlan = claim->vlan,
	};

	memcpy(key.address, claim->prefix.address.bytes, sizeof(key.address));
	return key;
}

static int compare(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = (int)x->vlan - (int)y->vlan;

	if (!order)
		order = (int)x->prefix.length - (int)y->prefix.length;
	return order ? order : memcmp(&x->prefix.address, &y->prefix.address, 16);
}

static bool enter(struct claims *claims, const struct claim *claim)
{
	struct claim_key key = make_key(claim);

	return bpf_map_update_elem(claims->map_fd, &key, &claim->value, BPF_ANY) == 0;
}

bool claims_set(struct claims *claims, const struct claim *list, uint32_t count)
{
	struct claim *next = malloc((count + (size_t)1) * sizeof(*next));
	uint32_t old = 0, used = 0;

	if (!next)
		return false;
	memcpy(next, list, count * sizeof(*next));
	qsort(next, count, sizeof(*next), compare);
	// Those that go make room first.
	for (uint32_t i = 0; old < claims->count; old++) {
		while (i < count && compare(&next[i], &claims->list[old]) < 0)
			i++;
		if (i == count || compare(&next[i], &claims->list[old]) != 0) {
			struct claim_key key = make_key(&claims->list[old]);

			bpf_map_delete_elem(claims->map_fd, &key);
		}
	}
	// What is there already is entered again, which changes its value at most.
	for (uint32_t i = 0; i < count; i++)
		if (enter(claims, &next[i]))
			next[used++] = next[i];
	free(claims->list);
	claims->list = next;
	claims->count = used;
	return used == count;
}

// Loads one program of them with the map that there is; `sockets_fd` -1: a map of its own.
static int load(const struct claims *claims, const char *name, int sockets_fd, struct error *err)
{
	struct claims_bpf *object = claims_bpf__open();
	struct bpf_program *program;
	int fd = -1;

	if (!object)
		return error_errno(err, "BPF program");
	bpf_object__for_each_program(program, object->obj)
		bpf_program__set_autoload(program, strcmp(bpf_program__name(program), name) == 0);
	if (bpf_map__reuse_fd(object->maps.claims, claims->map_fd) == 0 &&
	    (sockets_fd < 0 || bpf_map__reuse_fd(object->maps.sockets, sockets_fd) == 0) &&
	    claims_bpf__load(object) == 0)
		fd = dup(bpf_program__fd(bpf_object__find_program_by_name(object->obj, name)));
	if (fd < 0)
		error_errno(err, "BPF program %s", name);
	claims_bpf__destroy(object);
	return fd;
}

int claims_load_socket(const struct claims *claims, struct error *err)
{
	return load(claims, "claims_socket", -1, err);
}

int claims_load_guard(const struct claims *claims, struct error *err)
{
	return load(claims, "claims_guard", -1, err);
}

int claims_load_xdp(const struct claims *claims, int sockets_fd, struct error *err)
{
	return load(claims, "claims_xdp", sockets_fd, err);
}
