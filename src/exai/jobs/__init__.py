"""Durable work: what was begun is finished, whatever becomes of the process that began it.

A **job** has a kind, arguments, a principal and a key; starting it twice under one key starts it once. It runs in
**steps**. What a step returned is kept, so a job that a crash interrupted goes on behind its last step; a step
itself runs at least once, and must bear a repetition. A run of the whole job is an **attempt**; how it ended is a value
(`exai.jobs.kinds`), and decides what becomes of the job:

    state       on              becomes
    queued      a free place    running
    waiting     its time        queued
    running     Done            done
    running     Snooze          waiting; counts as no failure
    running     TryAgain        waiting, longer each time; dead after the last of the days that its kind allows
    running     GiveUp          dead
    running     Cancel          cancelled
    running     process ended   queued, by the process that notices; dead after too many of those
    any of those   `cancel`     cancelled
    done, cancelled, dead       deleted after the kind's retention; then its key is free again

Results of steps outlive a failed attempt: the next one does not repeat what has been done. Arguments and results are
ids and numbers, at most 4 KiB: content stays where it belongs.

`exai.jobs.job.Jobs` is the seam: six calls. `exai.jobs.durable` keeps it with DBOS, `exai.jobs.testing` in memory, for
tests that run a job at once or by hand. Only `exai.jobs.engine` knows DBOS, and is imported with the first job.
"""
