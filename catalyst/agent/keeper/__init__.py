"""The keeper: the parent of one pod's process. It outlives the agent, so that a restarted agent finds pod and logs again.

Runs as `python -S -m catalyst.agent.keeper FOLDER FENCE_S SOCKET`, standard library only; SOCKET is the inherited descriptor of the
agent that starts it. In FOLDER:

- `launch.json` what to run next (written by the agent, read when told `launch`),
- `status.json` what ran last and how it ended,
- `log/<first n>.jsonl` the output, one JSON object a line, numbered from 1, the oldest segments removed,
- `keeper.sock` where a restarted agent connects, SOCK_SEQPACKET: one JSON message per packet.

Agent → keeper: {"do": "launch" | "signal" | "note" | "alive" | "end", …}. Keeper → agent: always the whole status, whenever
it changed, so that a lost packet costs nothing. A silent agent means that the control plane has given the pod to another
node: after FENCE_S the keeper ends the pod and itself.
"""
