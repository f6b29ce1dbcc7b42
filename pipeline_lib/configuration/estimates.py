"""Operations, peak memory and disk of every job, from counts of its network and numbers of clips."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline_lib.configuration.clip_numbers import Numbers, numbers_of
from pipeline_lib.configuration.lengths import frames_of
from pipeline_lib.configuration.pass_costs import COMPUTED, Passes, Work, cost_of, passes_of, stored_size
from pipeline_lib.configuration.studies import Plan
from pipeline_lib.configuration.targets import MEMBERS, split_target
from pipeline_lib.entries.facts import declared, learning_of, value_of
from pipeline_lib.jobs.costs import estimated_counts, examples, seconds_outside
from pipeline_lib.jobs.counts import Counts, behind, key_of, key_of_transform, sum_of, transforms_of

MB = 1e6
TRAINING = "pipeline_lib.training.task:Training"
# Of a process with torch and what a job imports, before it loads a network: a training without epochs used 769.
PROCESS_MB = 760
# Copies of the weights beside activations, and when these are gone. A training: with gradients and momentum; with a
# checkpoint of weights and momentum, too. Others: the network; and its file while it is read.
TRAINING_COPIES, COPIES = (3, 5), (1, 2)
# Of a batch in float32: clean, attacked, their gradient and steps, and those read ahead; without an attack.
CLIP_COPIES, PREDICTED_COPIES = 8, 3
# Buffers of convolutions and of the allocator beside the tensors in use.
WORKSPACE = 1.2
# bf16 activations, with what remains in fp32.
BF16 = 0.7
# Passes that score the clean, the attacked and the stored clips of an attack. Attacks that declare passes without a
# gradient count that of the attacked clips among them.
SCORES = 3


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """The work of jobs of a resolved configuration.

    batch_size: clips at once in attacks and predictions. counts: by `key_of`. numbers: of data sets whose lists cannot
    be read.
    """

    plan: Plan
    batch_size: int
    counts: Mapping[str, Counts]
    given: Mapping[str, Numbers]
    known: dict[tuple[str, ...], Any] = field(default_factory=dict, init=False)

    @cached_property
    def numbers(self) -> dict[str, Numbers]:
        """Numbers of clips and classes by data set."""
        return {name: self.given.get(name) or numbers_of(entry) for name, entry in self.plan["datasets"].items()}

    def shape(self, dataset: str) -> tuple[int, int, int]:
        """Frames, height and width of a data set's clips; images have one frame."""
        size = self.plan["datasets"][dataset]["size"]
        return frames_of(self.plan, dataset), size, size

    def key(self, dataset: str, model: str) -> str:
        """The key of the counts of a model's network on the clips of a data set."""
        entry = self.plan["models"][model]
        return key_of(entry["network"], entry["defense"], self.shape(dataset))

    def transform_keys(self, dataset: str, model: str) -> dict[str, Mapping[str, Any]]:
        """The keys of the counts of the transforms in front of a model's network, with their entries."""
        shape = self.shape(dataset)
        return {key_of_transform(one, shape): one for one in transforms_of(self.plan["models"][model]["defense"])}

    def counted(self, dataset: str, target: str) -> Counts:
        """The counts of a target's network behind its transforms: those that were made, else closed forms of the
        network alone."""
        model = split_target(target)[0]
        return self._once(("counts", dataset, model), lambda: self._counted(dataset, model))

    def _once(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        """A value that is computed at its first use: there are thousands of jobs."""
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def _counted(self, dataset: str, model: str) -> Counts:
        found = self.counted_alone(dataset, model)
        for key, entry in self.transform_keys(dataset, model).items():
            if key in self.counts:
                found = behind(found, self.counts[key], bool(declared(entry, "differentiable")))
        return found

    def counted_alone(self, dataset: str, model: str) -> Counts:
        """The counts of a model's network without its transforms."""
        found = self.counts.get(self.key(dataset, model))
        members = [self.counted(dataset, member) for member in self.plan["models"][model].get(MEMBERS, [])]
        return found or sum_of(members) or estimated_counts(self.plan["models"][model]["network"], self.shape(dataset))

    def _cost(self, dataset: str, target: str, passes: Passes, clips: float, at_once: float) -> dict[str, float]:
        """What a target computes in passes of clips: the fields `COMPUTED` of `Work`."""
        outside = self._once(("outside", dataset, target), lambda: self._outside(dataset, target))
        model = split_target(target)[0]
        alone = self._once(("alone", dataset, model), lambda: self.counted_alone(dataset, model))
        both = self.counted(dataset, target), alone
        whole, network = (cost_of(passes, counts, outside, clips, at_once) for counts in both)
        return whole | {f"transform_{name}": whole[name] - network[name] for name in ("operations", "elements")}

    def _outside(self, dataset: str, target: str) -> float:
        transforms = transforms_of(self.plan["models"][split_target(target)[0]]["defense"])
        return sum(seconds_outside(one, self.shape(dataset)) for one in transforms)

    def work(self, rule: str, wildcards: Mapping[str, str]) -> Work:
        """The work of a job; nothing for a rule that computes little."""
        key = (rule, *(value for _, value in sorted(wildcards.items())))
        return self._once(key, lambda: self._work(rule, wildcards))

    def _work(self, rule: str, wildcards: Mapping[str, str]) -> Work:
        methods: dict[str, Callable[..., Work]] = {
            "decode": self._decode,
            "train": self._train,
            "learn": self._learn,
            "attack": self._attack,
            "union": self._union,
            "predict_clean": self._predict,
            "predict_transfer": self._predict,
            "features": self._features,
            "feature_maps": self._feature_maps,
            "check": self._check,
        }
        return methods[rule](**wildcards) if rule in methods else Work()

    def _decode(self, dataset: str, split: str) -> Work:
        return Work(disk=self.numbers[dataset].of(split) * self._clip_bytes(dataset))

    def _train(self, dataset: str, model: str) -> Work:
        entry, counts, shape = self.plan["models"][model], self.counted(dataset, model), self.shape(dataset)
        training, defense, name = {"method": TRAINING} | entry["training"], entry["defense"], model.partition("-")[0]
        if not training["epochs"]:
            return Work(memory=PROCESS_MB + 8 * counts.parameters / MB, disk=4 * counts.parameters, model=model)
        clips, size = self.numbers[dataset].train, training["batch_size"]
        held = value_of(training, "held_out") * clips if _selects(training, "held_out") else 0
        scored = self.numbers[dataset].test if _selects(training, "test") else held
        gradients, alone, passes_at_once = self._once(("of", dataset, name), lambda: passes_of(defense, shape))
        many, crafting = examples(defense, shape), {"to_input": gradients, "forward": alone}
        step, score = crafting | {"training": many}, crafting | {"forward": alone + many}
        at_once = min(size, max(clips, 1)) / value_of(training, "accumulate")
        kept = max(counts.memory["training"] * many, counts.memory["to_input"] * passes_at_once) * at_once
        kept *= BF16 if value_of(training, "precision") == "bf16" else 1
        parts = [(step, training["epochs"] * (clips - held)), (score, training["epochs"] * scored)]
        costs = [self._cost(dataset, model, each, number, size) for each, number in parts]
        memory = self._memory(dataset, counts, kept, size * many, TRAINING_COPIES)
        total = {name: sum(cost[name] for cost in costs) for name in COMPUTED}
        return Work(disk=4 * counts.parameters, model=model, **total, **memory)

    def _memory(
        self, dataset: str, counts: Counts, kept: float, clips: float, copies: tuple[int, int] = COPIES
    ) -> dict[str, float]:
        """MB of a job, in all and of activations, beyond what copies of the weights need when these are gone.

        kept: activations in bytes. clips: number in memory at once. copies: of the weights, beside activations and
        without."""
        beside, without = (4 * number * counts.parameters / MB for number in copies)
        activations = max(kept * WORKSPACE / MB + beside - without, 0)
        data = clips * self._clip_bytes(dataset) * 4 * CLIP_COPIES / MB
        return {"memory": PROCESS_MB + data + without + activations, "activations": activations}

    def _clip_bytes(self, dataset: str) -> int:
        frames, height, width = self.shape(dataset)
        return 3 * frames * height * width

    def _at_once(self, dataset: str, split: str = "test") -> int:
        return min(self.batch_size, max(self.numbers[dataset].of(split), 1))

    def _attack(self, dataset: str, source: str, attack: str) -> Work:
        entry, clips = self.plan["attacks"][attack], self.numbers[dataset].test
        gradients, alone, kept = self._once(("passes", dataset, attack), lambda: passes_of(entry, self.shape(dataset)))
        each = {"to_input": gradients, "forward": alone + SCORES - min(alone, 1)}
        work = self._attack_memory(dataset, source, kept)
        work |= self._cost(dataset, source, each, clips, self._at_once(dataset))
        disk = clips * self._clip_bytes(dataset) * stored_size(entry)
        return Work(disk=disk, model=split_target(source)[0], **work)

    def _attack_memory(self, dataset: str, source: str, passes: int) -> dict[str, float]:
        """Memory of attacks that keep the activations of as many passes."""
        counts, at_once = self.counted(dataset, source), self._at_once(dataset)
        kept = counts.memory["to_input"] * passes * at_once
        return self._memory(dataset, counts, kept, at_once)

    def _union(self, dataset: str, study: str, cascade: str) -> Work:
        """As if every attack had to attack every clip."""
        entry = self.plan["studies"][study]["cascades"][cascade]
        works = [self._attack(dataset, entry["model"], step["attack"]) for step in entry["attacks"]]
        largest = max(works, key=lambda work: work.memory)
        total = {name: sum(getattr(work, name) for work in works) for name in COMPUTED}
        return largest._replace(disk=0, **total)

    def _learn(self, dataset: str, source: str, attack: str) -> Work:
        counts, learning = self.counted(dataset, source), learning_of(self.plan["attacks"][attack]) or {}
        epochs, size = (value_of(learning, key) for key in ("epochs", "batch_size"))
        memory = self._memory(dataset, counts, counts.memory["to_input"] * size, size)
        cost = self._cost(dataset, source, {"to_input": 1}, epochs * self.numbers[dataset].train, size)
        return Work(disk=self._clip_bytes(dataset) * 4, model=split_target(source)[0], **cost, **memory)

    def _predict(self, dataset: str, target: str, source: str = "", attack: str = "") -> Work:
        counts, at_once = self.counted(dataset, target), self._at_once(dataset)
        clips = at_once * PREDICTED_COPIES / CLIP_COPIES
        memory = self._memory(dataset, counts, counts.memory["forward"] * at_once, clips)
        cost = self._cost(dataset, target, {"forward": 1}, self.numbers[dataset].test, at_once)
        return Work(model=split_target(target)[0], **cost, **memory)

    def _features(self, dataset: str, source: str, attack: str) -> Work:
        one = self._predict(dataset, source)
        return one.times(2)._replace(memory=2 * one.memory - PROCESS_MB, activations=2 * one.activations)

    def _feature_maps(self, dataset: str, source: str, attack: str, stage: str, clip: str) -> Work:
        """Features of one clip, clean and attacked."""
        return self._features(dataset, source, attack).times(1 / max(1, self.numbers[dataset].test))

    def _check(self, dataset: str, target: str) -> Work:
        """Its time is its budget."""
        return Work(model=split_target(target)[0], **self._attack_memory(dataset, target, 1))


def _selects(training: Mapping[str, Any], how: str) -> bool:
    return value_of(training, "select_on") == how
