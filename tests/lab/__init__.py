"""The test lab: a home network in namespaces and the tools to look at it.

kube    a small REST client for the API server
netlab  the network: a bridge, nodes, a client, as namespaces
wire    ARP on that network: ask, ask all the time, sniff, inject
responder  answers of a test's own making, right or wrong
traffic  packets through an address all the time, answered by the node they reach
cable   a cable that loses frames and is slow
stage   where a fault is made, and what a client saw of it
faults  what may happen to a cluster, each with what a client may see of it
l2lb    the program under test
proc    how child processes are started so that none is left behind
"""
