"""The names that configuration entries may give as `method`, and the classes behind them.

Jobs never import this table: entries are resolved to `module:Class` while the job graph is built, so a new line here
reruns nothing.
"""

METHODS = {
    # data sets
    "synthetic_actions": "pipeline_lib.clips.synthetic:SyntheticActions",
    "ucf101": "pipeline_lib.clips.splits:Ucf101",
    "hmdb51": "pipeline_lib.clips.splits:Hmdb51",
    "uniform_stride": "pipeline_lib.clips.sampling:UniformStride",
    "linspace": "pipeline_lib.clips.sampling:Linspace",
    "center_window": "pipeline_lib.clips.sampling:CenterWindow",
    # networks
    "resnet_3d": "pipeline_lib.models.resnet:ResNet3D",
    "wide_resnet_3d": "pipeline_lib.models.resnet:WideResNet3D",
    "resnext_3d": "pipeline_lib.models.resnet:ResNeXt3D",
    "resnet_2d": "pipeline_lib.models.resnet:ResNet2D",
    "torchvision_r3d_18": "pipeline_lib.models.torchvision_networks:TorchvisionR3D18",
    "channel_normalization": "pipeline_lib.models.normalization:ChannelNormalization",
    "oudefend": "pipeline_lib.models.oudefend:OUDefend",
    "feature_denoising": "pipeline_lib.models.denoise:FeatureDenoising",
    # attacks
    "ascent": "pipeline_lib.attacks.ascent:Ascent",
    "steepest": "pipeline_lib.attacks.steepest:Steepest",
    "additive_linf": "pipeline_lib.attacks.perturbations:AdditiveLinf",
    "ratio_linf": "pipeline_lib.attacks.perturbations:RatioLinf",
    "additive_l2": "pipeline_lib.attacks.lp_perturbations:AdditiveL2",
    "ratio_l2": "pipeline_lib.attacks.lp_perturbations:RatioL2",
    "additive_l1": "pipeline_lib.attacks.lp_perturbations:AdditiveL1",
    "placed": "pipeline_lib.attacks.framing:Placed",
    "universal_framing": "pipeline_lib.attacks.framing:UniversalFraming",
    "adam": "pipeline_lib.attacks.framing:Adam",
    "all_pixels": "pipeline_lib.attacks.regions:AllPixels",
    "random_rectangle": "pipeline_lib.attacks.regions:RandomRectangle",
    "border": "pipeline_lib.attacks.regions:Border",
    "random_pixels": "pipeline_lib.attacks.regions:RandomPixels",
    "at_clean": "pipeline_lib.attacks.starts:AtClean",
    "uniform_noise": "pipeline_lib.attacks.starts:UniformNoise",
    "uniform_box": "pipeline_lib.attacks.starts:UniformBox",
    "gaussian_noise": "pipeline_lib.attacks.starts:GaussianNoise",
    "constant": "pipeline_lib.attacks.starts:Constant",
    # defenses
    "standard": "pipeline_lib.defenses.standard:Standard",
    "adversarial_training": "pipeline_lib.defenses.adversarial_training:AdversarialTraining",
    "average": "pipeline_lib.defenses.multi_perturbation:Average",
    "multibn": "pipeline_lib.defenses.multibn:MultiBN",
    "maximum": "pipeline_lib.defenses.multi_perturbation:Maximum",
    "trades": "pipeline_lib.defenses.trades:Trades",
    "multibn_manual": "pipeline_lib.defenses.multibn:MultiBNManual",
    "softmax": "pipeline_lib.models.bn_selector:Softmax",
    "gumbel_softmax": "pipeline_lib.models.bn_selector:GumbelSoftmax",
    # losses that attacks climb instead of the cross-entropy
    "adaptive": "pipeline_lib.defenses.adaptive:Adaptive",
    # learning-rate schedules
    "one_cycle": "pipeline_lib.schedules:OneCycle",
    "multi_step": "pipeline_lib.schedules:MultiStep",
}
