#include "port/bus_error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_memory.h>

#define KEPT_MAX     8
#define REPLACED_MAX 64

struct range {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end; // 0: none
};

static struct range kept[KEPT_MAX];
static struct range replaced[REPLACED_MAX];
static _Atomic uint32_t kept_count, replaced_count;
static _Atomic size_t kept_pages;
static atomic_flag keeping = ATOMIC_FLAG_INIT;
static uintptr_t page_size;
static struct sigaction previous;

// Where nobody asks any more, the oldest makes room.
static void range_add(struct range *ranges, uint32_t size, _Atomic uint32_t *count, uintptr_t start,
		      uintptr_t end)
{
	struct range *range = &ranges[atomic_fetch_add(count, 1) % size];

	// Whoever reads it meanwhile sees an empty range.
	atomic_store(&range->end, 0);
	atomic_store(&range->start, start);
	atomic_store(&range->end, end);
}

void bus_error_keep(const void *start, size_t size)
{
	range_add(kept, KEPT_MAX, &kept_count, (uintptr_t)start, (uintptr_t)start + size);
}

void bus_error_keep_end(const void *start)
{
	for (unsigned int i = 0; i < KEPT_MAX; i++)
		if (atomic_load(&kept[i].start) == (uintptr_t)start)
			atomic_store(&kept[i].end, 0);
}

size_t bus_error_kept(void)
{
	return atomic_load(&kept_pages);
}

bool bus_error_hit(const void *start, size_t size)
{
	uintptr_t from = (uintptr_t)start;
	bool hit = false;

	for (unsigned int i = 0; i < REPLACED_MAX; i++) {
		if (atomic_load(&replaced[i].start) >= from + size ||
		    atomic_load(&replaced[i].end) <= from)
			continue;
		atomic_store(&replaced[i].end, 0);
		hit = true;
	}
	return hit;
}

// ---- in the handler: system calls and own memory only

struct maps {
	int fd;
	char buffer[2048];
	ssize_t filled, at;
};

static int next_character(struct maps *maps)
{
	if (maps->at == maps->filled) {
		maps->at = 0;
		do
			maps->filled = read(maps->fd, maps->buffer, sizeof(maps->buffer));
		while (maps->filled < 0 && errno == EINTR);
		if (maps->filled <= 0) {
			maps->filled = 0;
			return -1;
		}
	}
	return (unsigned char)maps->buffer[maps->at++];
}

// Digits up to the character behind them, which is returned.
static int next_number(struct maps *maps, uintptr_t *number)
{
	int c;

	for (*number = 0;;
	     *number = *number << 4 | (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10)) {
		c = next_character(maps);
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return c;
	}
}

// The shared mapping around an address. Lines are `start-end rwxs ...`.
static bool find_mapping(uintptr_t address, uintptr_t *start, uintptr_t *end)
{
	struct maps maps = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
	bool found = false;
	int c = 0;

	if (maps.fd < 0)
		return false;
	while (c >= 0 && !found) {
		next_number(&maps, start);
		next_number(&maps, end);
		for (int i = 0; i < 4; i++)
			c = next_character(&maps);
		found = address >= *start && address < *end;
		if (found)
			break;
		while (c >= 0 && c != '\n')
			c = next_character(&maps);
	}
	close(maps.fd);
	return found && c == 's';
}

static bool is_kept(uintptr_t address)
{
	for (unsigned int i = 0; i < KEPT_MAX; i++)
		if (address >= atomic_load(&kept[i].start) && address < atomic_load(&kept[i].end))
			return true;
	return false;
}

// Threads may find the same page missing: what the first of them writes there must stay.
static bool keep_page(uintptr_t address)
{
	void *page = (void *)(address & ~(page_size - 1));
	bool there;

	while (atomic_flag_test_and_set(&keeping))
		sched_yield();
	there = madvise(page, page_size, MADV_POPULATE_READ) == 0;
	if (!there && mmap(page, page_size, PROT_READ | PROT_WRITE,
			   MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
		atomic_fetch_add(&kept_pages, 1);
		there = true;
	}
	atomic_flag_clear(&keeping);
	return there;
}

// A guest's: the whole mapping, because pages of a huge one can't be replaced alone.
static bool replace(uintptr_t address)
{
	uintptr_t start, end;

	if (is_kept(address))
		return keep_page(address);
	if (rte_mem_virt2memseg_list((const void *)address) ||
	    !find_mapping(address, &start, &end) ||
	    mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	range_add(replaced, REPLACED_MAX, &replaced_count, start, end);
	return true;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	int error = errno;

	// Somebody else's, or sent by a process: as if nobody had taken it over.
	if (info->si_code <= 0 || !replace((uintptr_t)info->si_addr)) {
		sigaction(SIGBUS, &previous, NULL);
		if (info->si_code <= 0)
			raise(SIGBUS);
	}
	errno = error;
}

static void take_over(void)
{
	struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

	page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, &previous);
}

void bus_error_guard(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, take_over);
}
