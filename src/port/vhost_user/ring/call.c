#include "port/vhost_user/ring/call.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

// What the kernel puts where a context's number points to.
struct completions {
	uint32_t id;
	uint32_t size;
	_Atomic uint32_t head;
	_Atomic uint32_t tail;
	uint32_t magic;
};

#define COMPLETIONS_MAGIC 0xa10a10a1

// A thread's own, made with its first signal, for as long as the thread is.
static _Thread_local struct {
	bool tried;
	int nothing; // descriptor to read from
	aio_context_t context;
} caller;

static struct completions *completions_of(aio_context_t context)
{
	return (struct completions *)(uintptr_t)context;
}

static void caller_open(void)
{
	caller.tried = true;
	caller.nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (caller.nothing < 0 || syscall(SYS_io_setup, 1, &caller.context) < 0)
		caller.context = 0;
	else if (completions_of(caller.context)->magic != COMPLETIONS_MAGIC)
		caller.context = 0;
}

static bool signal_submit(int eventfd)
{
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)caller.nothing,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)eventfd,
	};
	struct iocb *requests[] = {&request};
	struct completions *done = completions_of(caller.context);

	if (syscall(SYS_io_submit, caller.context, 1, requests) != 1)
		return false;
	// It is over already. Nobody else takes completions off.
	atomic_store_explicit(&done->head, atomic_load_explicit(&done->tail, memory_order_acquire),
			      memory_order_release);
	return true;
}

void ring_signal(int eventfd)
{
	uint64_t one = 1;

	if (!caller.tried)
		caller_open();
	if (caller.context && signal_submit(eventfd))
		return;
	// It can only fail when the counter is full, and then the guest is called anyway.
	if (write(eventfd, &one, sizeof(one)) < 0)
		return;
}
