// Any program as a filter of captures: what the check lets through ends, and reads nothing but the
// packet. Input: a byte that says how many instructions follow, those, and the packet.

#include <rte_mbuf.h>

#include "fuzz.h"
#include "worker/capture_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sock_filter program[256];
	struct rte_mbuf first, second;
	size_t count = size ? data[0] : 0, length, head;
	uint8_t *bytes[2];
	uint32_t at;

	if (!count || 1 + count * sizeof(*program) > size)
		return 0;
	memcpy(program, data + 1, count * sizeof(*program));
	if (capture_filter_check(program, (uint32_t)count, &at))
		return 0;
	data += 1 + count * sizeof(*program);
	length = size - 1 - count * sizeof(*program);
	// In two buffers of just their size, so that whoever reads behind them is seen.
	head = length / 2;
	bytes[0] = malloc(head ? head : 1);
	bytes[1] = malloc(length - head + 1);
	memcpy(bytes[0], data, head);
	memcpy(bytes[1], data + head, length - head);
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	first.buf_addr = bytes[0];
	first.data_len = (uint16_t)head;
	first.pkt_len = (uint32_t)length;
	first.next = &second;
	first.nb_segs = 2;
	second.buf_addr = bytes[1];
	second.data_len = (uint16_t)(length - head);
	capture_filter_run(program, &first);
	free(bytes[0]);
	free(bytes[1]);
	return 0;
}
