"""Natural corruptions of videos at five severities, after UCF101-P (Schiappa et al., CVPR 2023), without gradients."""
