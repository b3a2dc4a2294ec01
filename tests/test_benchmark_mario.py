"""The benchmark of Mario's agents: what it tells of how they were trained."""

from mario_a3c.benchmark.mario import mario_table, means_of, training_in_all, training_of
from mario_a3c.config import RunConfig


def stage(greedy, sampled, *runs, means="reuse"):
    """Figures of a stage's agent, as in the results; each run is (task, steps, seconds, began)."""
    told = {"greedy": greedy, "sampled": sampled, "episodes": 200, "means": means}
    names = "task", "steps", "seconds", "began"
    return told | {"runs": [dict(zip(names, each, strict=True)) for each in runs]}


def test_the_short_table_leaves_out_how_agents_were_made_and_keeps_rows_and_columns_together():
    told = {"world": 1, "stage": 2, "time_left": 342.4, "seconds": 90.0, "seed": 1, "shipped": True}
    told |= {"replayed": True, "failed_max_x": 1139.0, "random_max_x": 453.0, "steps": 1000}
    agent = stage(True, 169) | told
    columns, _, row = mario_table({"mario-1-2": agent}, short=True).splitlines()
    assert columns == "| stage | greedy | sampled, of 200 | time left | steps | trained for |"
    assert row == "| 1-2 | finishes | 169 | 342 | 1,000 | 1.5 min |"
    assert "| reuse |" in mario_table({"mario-1-2": agent})


def test_what_all_stages_took_is_added_up_and_those_that_finish_are_counted():
    results = {
        "mario-1-1": stage(True, 160, ("mario-1-1", 1_000_000, 5400, "a")),
        "mario-1-2": stage(True, 159, ("mario-1-2", 2_000, 1800, "a")),
        "mario-1-3": stage(False, 200),
        "CartPole-v1": {"steps": 5_000_000, "seconds": 1e6},
    }
    told = training_in_all(results)
    assert "Of 3 stages 2 are finished greedily and 2 in at least 80%" in told
    assert "From nothing to these agents it took 1,002,000 steps and 2.0 hours" in told


def test_what_began_with_another_agent_is_not_told_as_trained_from_nothing():
    warm = stage(True, 9, ("mario-1-2", 5, 9, "b"), means="reuse, warm start from 1-1")
    cold = stage(True, 9, ("mario-1-1", 7, 9, "a"))
    told = training_in_all({"mario-1-1": cold, "mario-1-2": warm})
    assert "From nothing" not in told
    assert "Apart from what came before 1 warm starts this took 12 steps" in told


def test_what_several_agents_come_from_is_counted_once_as_far_as_it_went():
    early, late = ("mario-1-3", 60, 1800, "a"), ("mario-1-3", 100, 3600, "a")
    others = ("mario-3-3", 20, 1800, "b"), ("mario-4-3", 30, 1800, "b")
    results = {other[0]: stage(True, 9, early, other) for other in others}
    told = training_in_all({"mario-1-3": stage(True, 9, late), **results})
    assert "took 150 steps and 2.0 hours" in told


def test_two_turns_with_the_same_settings_both_count():
    turns = [("mario-1-2", 10, 1800, "a"), ("mario-1-2", 20, 1800, "a")]
    assert "took 30 steps and 1.0 hours" in training_in_all({"mario-1-2": stage(True, 9, *turns)})


def test_a_run_is_known_by_the_settings_that_it_began_with():
    resumed = {**run(gamma=0.9), "earlier": [{"steps": 1, "settings": {"gamma": 0.95}}]}
    told = [training_of(each)["runs"][0]["began"] for each in (run(gamma=0.95), resumed)]
    assert told[0] == told[1] != training_of(run(gamma=0.9))["runs"][0]["began"]


def run(task="mario-1-2", steps=1, **settings):
    """What an agent's file tells of a run."""
    config = RunConfig(**settings).to_dict()
    return {"task": task, "steps": steps, "seconds": 1.0, "config": config}


def test_a_network_without_an_lstm_is_told_among_the_means():
    assert "no LSTM" in means_of([run(recurrent=False)])
    assert "no LSTM" not in means_of([run()])


def test_the_gamma_that_an_agent_ended_with_is_told_before_the_others():
    assert means_of([run(gamma=0.95)]).startswith("gamma 0.95, ")
    runs = [run(gamma=0.9), run(gamma=0.98), run(gamma=0.95), run(gamma=0.98)]
    assert means_of(runs).startswith("gamma 0.98 (0.9, 0.95 before), ")


def test_another_view_is_told_among_the_means():
    assert "close view" in means_of([run(view="close")])
    assert "view" not in means_of([run()])


def test_another_cost_of_dying_is_told_among_the_means():
    assert "death costs 6," in means_of([run(death_cost=6.0, retry_fraction=0.5)])
    assert "death" not in means_of([run()])


def test_random_actions_in_retries_are_told_among_the_means():
    assert "random actions in retries" in means_of([run(retry_fraction=0.5, retry_noise=0.1)])
    assert "random actions" not in means_of([run(retry_fraction=0.5)])


def test_a_cost_of_being_undecided_is_told_whether_it_was_there_from_the_beginning_or_came():
    cost = "cost of being undecided"
    assert cost in means_of([run(entropy_coef=-0.03, entropy_coef_final=-0.03)])
    assert cost in means_of([run(entropy_coef=0.01, entropy_coef_final=-0.03)])
    assert cost not in means_of([run(entropy_coef=0.01, entropy_coef_final=0.001)])
    assert cost not in means_of([run(entropy_coef=0.01)])


def test_what_the_final_values_follow_and_what_stalling_does_are_told_among_the_means():
    assert "annealed by completion" in means_of([run(anneal_by_completion=True)])
    assert "stalling terminates" in means_of([run(stall_terminates=True)])
    assert not {"annealed", "stalling"} & set(means_of([run()]).split())


def test_the_means_of_all_runs_are_told_and_what_began_with_an_agent_nobody_knows():
    means = means_of([run("mario-1-1", imitation_coef=0.1), run(retry_fraction=0.5, load_from="x")])
    assert "imitation of found ways" in means
    assert "retries, first on 1-1, 2 runs" in means
    assert "warm start" not in means
    there_and_back = [run("mario-2-2"), run("mario-7-2"), run("mario-2-2")]
    assert means_of(there_and_back).endswith("first on 7-2, 3 runs")
    assert means_of([run(load_from="mario-1-1.safetensors")]).endswith("warm start from 1-1")
    assert means_of([run(load_from_previous_stage=True)]).endswith(
        "warm start from the stage before"
    )


def test_an_agent_counts_the_steps_and_seconds_of_the_runs_before_it():
    child = {**run(steps=30, load_from="mario-1-2", seed=5), "ancestors": [run(steps=700)]}
    told = training_of(child)
    assert (told["steps"], told["seconds"], told["seed"]) == (730, 2.0, 5)
    assert told["means"].endswith("2 runs")
    assert [each["steps"] for each in told["runs"]] == [700, 30]
