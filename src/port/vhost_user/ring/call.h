// Wakes the guest. Its eventfd came from it, and the two share the open file: it can have made that
// one blocking and filled its counter, and a worker's write would wait for ever. What the kernel
// signals by itself never waits; so the signal is that of an asynchronous read of nothing
// (io_submit(2), IOCB_FLAG_RESFD), at the price of about a thousand cycles instead of 400.

#pragma once

// Never waits. Any thread. Where the kernel has no asynchronous I/O it is a write, with what that
// means.
void ring_signal(int eventfd);
