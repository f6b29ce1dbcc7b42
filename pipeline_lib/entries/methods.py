"""The names that configuration entries may give as `method`, and the classes behind them.

Jobs never import this table: entries are resolved to `module:Class` while the job graph is built. So a new line here
reruns nothing.
"""

METHODS = {
    # data sets
    "synthetic_actions": "pipeline_lib.clips.synthetic:SyntheticActions",
    "synthetic_shapes": "pipeline_lib.clips.synthetic_images:SyntheticShapes",
    "cifar10_archive": "pipeline_lib.clips.archives:Cifar10Archive",
    "ucf101": "pipeline_lib.clips.splits:Ucf101",
    "hmdb51": "pipeline_lib.clips.splits:Hmdb51",
    "image_lists": "pipeline_lib.clips.image_lists:ImageLists",
    "cifar10": "pipeline_lib.clips.image_lists:Cifar10",
    "image_files": "pipeline_lib.clips.images:ImageFiles",
    "cifar10_records": "pipeline_lib.clips.images:Cifar10Records",
    "uniform_stride": "pipeline_lib.clips.sampling:UniformStride",
    "linspace": "pipeline_lib.clips.sampling:Linspace",
    "center_window": "pipeline_lib.clips.sampling:CenterWindow",
    # augmentation in training
    "unchanged": "pipeline_lib.clips.augmentation:Unchanged",
    "crop_and_flip": "pipeline_lib.clips.augmentation:CropAndFlip",
    # networks
    "resnet_3d": "pipeline_lib.networks.resnet:ResNet3D",
    "wide_resnet_3d": "pipeline_lib.networks.resnet:WideResNet3D",
    "resnext_3d": "pipeline_lib.networks.resnet:ResNeXt3D",
    "resnet_2d": "pipeline_lib.networks.resnet:ResNet2D",
    "torchvision_r3d_18": "pipeline_lib.networks.torchvision_networks:TorchvisionR3D18",
    "channel_normalization": "pipeline_lib.networks.normalization:ChannelNormalization",
    "oudefend": "pipeline_lib.networks.oudefend:OUDefend",
    "feature_denoising": "pipeline_lib.networks.denoise:FeatureDenoising",
    # attacks
    "ascent": "pipeline_lib.attacks.ascent:Ascent",
    "steepest": "pipeline_lib.attacks.steepest:Steepest",
    "apgd": "pipeline_lib.attacks.apgd:Apgd",
    "strongest": "pipeline_lib.attacks.strongest:Strongest",
    "additive_linf": "pipeline_lib.attacks.perturbations:AdditiveLinf",
    "ratio_linf": "pipeline_lib.attacks.perturbations:RatioLinf",
    "additive_l2": "pipeline_lib.attacks.lp_perturbations:AdditiveL2",
    "ratio_l2": "pipeline_lib.attacks.lp_perturbations:RatioL2",
    "printed_ratio_l2": "pipeline_lib.attacks.lp_perturbations:PrintedRatioL2",
    "additive_l1": "pipeline_lib.attacks.lp_perturbations:AdditiveL1",
    "fixed_pattern": "pipeline_lib.attacks.framing:FixedPattern",
    "universal_framing": "pipeline_lib.attacks.framing:UniversalFraming",
    "adam": "pipeline_lib.attacks.framing:Adam",
    "all_pixels": "pipeline_lib.attacks.regions:AllPixels",
    "random_rectangle": "pipeline_lib.attacks.regions:RandomRectangle",
    "border": "pipeline_lib.attacks.regions:Border",
    "random_pixels": "pipeline_lib.attacks.regions:RandomPixels",
    "searched_rectangle": "pipeline_lib.attacks.search:SearchedRectangle",
    "first_sample_only": "pipeline_lib.attacks.regions:FirstSampleOnly",
    "at_clean": "pipeline_lib.attacks.starts:AtClean",
    "uniform_noise": "pipeline_lib.attacks.starts:UniformNoise",
    "uniform_box": "pipeline_lib.attacks.starts:UniformBox",
    "gaussian_noise": "pipeline_lib.attacks.starts:GaussianNoise",
    "constant": "pipeline_lib.attacks.starts:Constant",
    "expectation": "pipeline_lib.attacks.expectation:Expectation",
    "log_uniform": "pipeline_lib.attacks.starts:LogUniform",
    "untargeted": "pipeline_lib.attacks.goals:Untargeted",
    "target_class": "pipeline_lib.attacks.goals:TargetClass",
    "next_class": "pipeline_lib.attacks.goals:NextClass",
    "least_likely": "pipeline_lib.attacks.goals:LeastLikely",
    "cross_entropy": "pipeline_lib.attacks.goals:Untargeted",
    "log_odds": "pipeline_lib.attacks.margins:LogOdds",
    "margin": "pipeline_lib.attacks.margins:Margin",
    "dlr": "pipeline_lib.attacks.margins:DLR",
    "dlr_targeted": "pipeline_lib.attacks.margins:TargetedDLR",
    # defenses
    "standard": "pipeline_lib.defenses.standard:Standard",
    "adversarial_training": "pipeline_lib.defenses.adversarial_training:AdversarialTraining",
    "average": "pipeline_lib.defenses.multi_perturbation:Average",
    "multibn": "pipeline_lib.defenses.multibn:MultiBN",
    "maximum": "pipeline_lib.defenses.multi_perturbation:Maximum",
    "trades": "pipeline_lib.defenses.trades:Trades",
    "exponential_moving_average": "pipeline_lib.defenses.exponential_moving_average:ExponentialMovingAverage",
    "adversarial_weight_perturbation": (
        "pipeline_lib.defenses.adversarial_weight_perturbation:AdversarialWeightPerturbation"
    ),
    "free_adversarial_training": "pipeline_lib.defenses.free_adversarial_training:FreeAdversarialTraining",
    "multibn_manual": "pipeline_lib.defenses.multibn:MultiBNManual",
    "softmax": "pipeline_lib.networks.bn_selector:Softmax",
    "gumbel_softmax": "pipeline_lib.networks.bn_selector:GumbelSoftmax",
    "transformed": "pipeline_lib.defenses.transformed:Transformed",
    # transforms of the input
    "halftone": "pipeline_lib.transforms.halftone:Halftone",
    "halftone_integer": "pipeline_lib.transforms.halftone:HalftoneInteger",
    "jpeg": "pipeline_lib.transforms.jpeg:Jpeg",
    "bit_depth": "pipeline_lib.transforms.levels:BitDepth",
    "histogram_equalization": "pipeline_lib.transforms.levels:HistogramEqualization",
    "gaussian_blur": "pipeline_lib.transforms.filters:GaussianBlur",
    "mean_filter": "pipeline_lib.transforms.filters:MeanFilter",
    "median_filter": "pipeline_lib.transforms.filters:MedianFilter",
    "bilateral_filter": "pipeline_lib.transforms.filters:BilateralFilter",
    "nonlocal_means": "pipeline_lib.transforms.nonlocal_means:NonlocalMeans",
    "grey_scale": "pipeline_lib.transforms.color:GreyScale",
    "color_quantization": "pipeline_lib.transforms.color:ColorQuantization",
    "fourier_truncation": "pipeline_lib.transforms.frequency:FourierTruncation",
    "swirl": "pipeline_lib.transforms.geometry:Swirl",
    "resize_and_pad": "pipeline_lib.transforms.geometry:ResizeAndPad",
    "noise_injection": "pipeline_lib.transforms.noise:NoiseInjection",
    # losses that attacks maximize instead of the cross-entropy
    "adaptive": "pipeline_lib.defenses.adaptive:Adaptive",
    # optimizers
    "sgd": "pipeline_lib.training.optimizers:SGD",
    "adamw": "pipeline_lib.training.optimizers:AdamW",
    # learning-rate schedules
    "one_cycle": "pipeline_lib.training.schedules:OneCycle",
    "multi_step": "pipeline_lib.training.schedules:MultiStep",
    # figures
    "perturbations": "pipeline_lib.reporting.figures.perturbations:Perturbations",
    "iterations": "pipeline_lib.reporting.figures.iterations:Iterations",
    "sweep": "pipeline_lib.reporting.figures.sweep:SweepCurves",
    "features": "pipeline_lib.reporting.figures.features:Features",
    "masking": "pipeline_lib.reporting.figures.masking:Masking",
    "chart": "pipeline_lib.reporting.figures.chart:Chart",
    "training_curves": "pipeline_lib.reporting.figures.training_curves:TrainingCurves",
}

# Summaries of a table's columns: the names that a study may give, and their functions. The same averages have the
# names used by MultiBN, by its draft, and by OUDefend and Halftone.
SUMMARIES = {
    "mean": "pipeline_lib.reporting.summaries:mean",
    "acc_all": "pipeline_lib.reporting.summaries:mean",
    "avg_all": "pipeline_lib.reporting.summaries:mean",
    "acc_adv": "pipeline_lib.reporting.summaries:mean_of_attacks",
    "avg_adv": "pipeline_lib.reporting.summaries:mean_of_attacks",
    "union": "pipeline_lib.reporting.summaries:union",
}
