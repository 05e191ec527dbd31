"""What a node serves by HTTP."""

import http.client

import netns

ADDRESS = "127.0.0.1:9177"


def ask(node, path, method="GET", **headers):
    """The answer, and its body."""
    with netns.inside(node.netns):
        connection = http.client.HTTPConnection(ADDRESS, timeout=60)
        connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body
