"""The fast path of relaying: many connections on one epoll, for which one trio task waits.

Two trio tasks a connection are the plain way (:mod:`enclaver_runtime.transport.pump`), and what this room does is
defined by it: the same tests run on both. Of the time of a short tunnel, most would go into tasks, cancel scopes and
trio's own epoll at every wait; here, a connection is an object whose callbacks are registered once. So:

- :mod:`loop` has the epoll, the callbacks and the deadlines, and one task. When that is cancelled, everything on the
  loop is closed. It gives way to other tasks after a few milliseconds.
- :mod:`channel` relays between two sockets: a state machine of two flows, described there.
- :mod:`flow` moves bytes one way, and holds what the other side does not take.
- :mod:`pipes` are what the kernel moves bulk through (splice(2)), which then is never copied to here.
- :mod:`visits` is what comes before a relay (who is it, where to, connecting), written as generators: read from top to
  bottom as a task is, and as cheap as callbacks. What is not the plain case leaves them for a trio task.
- :mod:`relays` starts channels, for visits and for tasks; :mod:`reception` accepts, and leads from one to the next.

A socket's failure ends its connection. Any other exception is a defect; it ends the loop, and so the service.

Two thirds of what is left of a short tunnel's cost are system calls, 22 on each side, and most of the rest is Python
calls, 127 to 156. Before more are added for each connection or each event, see what ``benchmarks:proxy`` says of the
CPU. So heads and frames that are known to the byte are not parsed again, deadlines are attributes, a system call whose
failure is the rule returns a number instead of raising, and what refers to itself lets go of it at its end, so that
there is nothing to do for the garbage collector.
"""
