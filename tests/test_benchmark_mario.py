"""The benchmark of Mario's agents: what it tells of how they were trained."""

from mario_a3c.benchmark.mario import means_of, training_in_all
from mario_a3c.config import RunConfig


def stage(greedy, sampled, steps, seconds, means="reuse"):
    """Figures of a stage's agent, as they stand in the results."""
    told = {"greedy": greedy, "sampled": sampled, "episodes": 200, "means": means}
    return told | {"steps": steps, "seconds": seconds}


def test_what_all_stages_took_is_added_up_and_those_that_finish_are_counted():
    results = {
        "mario-1-1": stage(greedy=True, sampled=160, steps=1_000_000, seconds=5400),
        "mario-1-2": stage(greedy=True, sampled=159, steps=2_000, seconds=1800),
        "mario-1-3": stage(greedy=False, sampled=200, steps=0, seconds=0),
        "CartPole-v1": {"steps": 5_000_000, "seconds": 1e6},
    }
    told = training_in_all(results)
    assert "Of 3 stages 2 are finished greedily and 2 in at least 80%" in told
    assert "From nothing to these agents it took 1,002,000 steps and 2.0 hours" in told


def test_what_began_with_another_agent_is_not_told_as_trained_from_nothing():
    warm = stage(greedy=True, sampled=9, steps=5, seconds=9, means="reuse, warm start from 1-1")
    told = training_in_all({"mario-1-1": stage(True, 9, 7, 9), "mario-1-2": warm})
    assert "From nothing" not in told
    assert (
        "Their last runs, 1 of which began with an agent that another run had made, took 12" in told
    )


def test_a_network_without_an_lstm_is_told_among_the_means():
    assert "no LSTM" in means_of(RunConfig(recurrent=False).to_dict(), [])
    assert "no LSTM" not in means_of(RunConfig().to_dict(), [])
