"""What traceroute finds."""

from node import eventually


def traceroute(workload, *arguments):
    """Its lines, one for each hop, when somebody has answered at each.

    Linux enters an ICMP error's code at the socket behind the error itself; where the program has read that one already
    the code stays, and traceroute, which then looks for errors only, sees no answer any more.
    """
    def lines():
        process = workload.popen("traceroute", "-n", "-w", "5", "-m", "5", *arguments)
        text = process.communicate(timeout=60)[0]
        assert process.returncode == 0, text
        found = text.splitlines()[1:]
        return found and all(line.split()[1] != "*" for line in found) and found

    return eventually(lines)
