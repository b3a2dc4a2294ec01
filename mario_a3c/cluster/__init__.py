"""Training on more than one machine, on Ray, which is imported only where that is asked for.

`parameters` holds the weights in an actor, `link` is a worker's way to it, `worker` the actor that
plays and learns, `nodes` knows the machines, `crew` fills them with workers, `head` ties all this
to a run, and `child` is the process in which that happens; `reach` asks whether there is a cluster
at all. `stages` gives the stages of a campaign
their turns, each in an actor of `stage_turn`.
"""
