"""Cost of evaluating a model under several attacks, relative to the usual way: batches of one, no frozen parameters.

    python benchmarks/evaluation.py                        # a tiny network on the CPU
    python benchmarks/evaluation.py --full --device cuda   # 3D ResNet-18, 16 x 112 x 112

The usual way is the loop of most research code: one clip at a time, a mean loss, and `loss.backward()`, which also
computes the gradients of all parameters. Both attack the same clips with the same random numbers, alternately, with
other random numbers in each round.
Goal: a third of the cost, and the same flags (correct or wrong) for every clip in fp32.
"""

import statistics

import torch
from common import headline, network_and_clips, parsed, parser_of, seconds, spread
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.losses import attacking, cross_entropy
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.regions import Border, RandomPixels, RandomRectangle
from pipeline_lib.attacks.starts import Constant, UniformNoise
from pipeline_lib.precision import autocast, computing_in
from pipeline_lib.randomness.generators import clip_generators

BOX = AdditiveLinf(epsilon=1.0, step_size=70 / 255)
LINF = AdditiveLinf(epsilon=4 / 255, step_size=1 / 255)


def attacks(side: int, steps: int) -> dict[str, Ascent]:
    patch = RandomRectangle(height=side // 4, width=side // 4)
    return {
        "PGD": Ascent(perturbation=LINF, start=UniformNoise(radius=4 / 255), steps=steps),
        "ROA": Ascent(perturbation=BOX, region=patch, start=Constant(value=0.5), steps=steps),
        "AF": Ascent(perturbation=BOX, region=Border(width=2), start=UniformNoise(radius=1.0), steps=steps),
        "SPA": Ascent(perturbation=BOX, region=RandomPixels(count=60), start=Constant(value=0.0), steps=steps),
    }


def usual_way(network: nn.Module, attack: Ascent, clips: Tensor, labels: Tensor, seed: int) -> Tensor:
    """(N,): whether each clip is still classified correctly."""
    correct = []
    for i in range(len(clips)):
        clip, label, generators = clips[i : i + 1], labels[i : i + 1], draws(clips, seed)[i : i + 1]
        mask = attack.region.mask(clip, generators)
        center = attack.start.center(clip, mask)
        adversarial = torch.where(mask, attack.start.first(clip, generators).clamp(0, 1), clip)
        for _ in range(attack.steps):
            leaf = adversarial.detach().requires_grad_()
            F.cross_entropy(network(leaf), label).backward()
            assert leaf.grad is not None
            adversarial = attack.advance(leaf.detach(), leaf.grad * mask, center, generators)
        with torch.no_grad():
            correct.append(network(torch.where(mask, adversarial, clip)).argmax(1) == label)
    return torch.cat(correct)


def ours(network: nn.Module, attack: Ascent, clips: Tensor, labels: Tensor, seed: int, precision: str) -> Tensor:
    def model(adversarial: Tensor) -> Tensor:
        with autocast(precision, clips.device):  # type: ignore[arg-type]
            return network(adversarial)

    with attacking(network):
        adversarial = attack(cross_entropy(model, labels), clips, draws(clips, seed))
    with torch.inference_mode():
        return network(adversarial).argmax(1) == labels


def draws(clips: Tensor, seed: int) -> list[torch.Generator]:
    return clip_generators(seed, [str(i) for i in range(len(clips))])


def union(  # type: ignore[no-untyped-def]
    way, network: nn.Module, clips: Tensor, labels: Tensor, steps: int, seed: int, *more: str
) -> tuple[float, Tensor]:
    """Seconds (of CPU time on the CPU), and whether clips are still classified correctly under each attack (4, N)."""
    flags: list[Tensor] = []

    def work() -> None:
        chosen = attacks(clips.shape[-1], steps).values()
        flags.extend(way(network, attack, clips, labels, seed, *more) for attack in chosen)

    return seconds(work, clips.device), torch.stack(flags).cpu()


def main() -> None:
    parser = parser_of(__doc__, rounds=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    options = parsed(parser)
    network, clips = network_and_clips(options, classes=6)
    network.eval()
    with computing_in(options.precision):
        labels = network(clips).argmax(1)
        rounds = [
            (
                union(usual_way, network, clips, labels, options.steps, seed),
                union(ours, network, clips, labels, options.steps, seed, options.precision),
            )
            for seed in range(options.rounds + 1)
        ][1:]
    different = sum(int((a != b).sum()) for (_, a), (_, b) in rounds)
    print(headline(options))
    print("| usual way, s | here, s | fraction of the usual cost | flags that differ |\n|---:|---:|---:|---:|")
    slow, fast = (statistics.median(pair[k][0] for pair in rounds) for k in (0, 1))
    fraction = spread(fast / slow for (slow, _), (fast, _) in rounds)
    print(f"| {slow:.2f} | {fast:.2f} | {fraction} | {different} of {options.rounds * 4 * options.batch} |")


if __name__ == "__main__":
    main()
