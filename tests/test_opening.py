from pipeline_lib.reporting.opening import opening_page


def history(folder, name: str, precision: str, seed: int) -> tuple[str, str]:
    run = f"device cpu; epoch {seed}; precision {precision}; seed {seed}; tf32 False"
    (folder / f"{name}.csv").write_text(f'epoch,loss,run\n1,0.5,"{run}"\n2,0.4,"{run}"\n')
    return name, str(folder / f"{name}.csv")


def test_models_trained_alike_are_named_together(tmp_path) -> None:
    models = [history(tmp_path, *given) for given in (("a-s0", "fp32", 0), ("b-s0", "bf16", 0), ("a-s1", "fp32", 1))]
    page = opening_page(models, {"seed": 7, "precision": "bf16"})
    assert "Trained with device cpu, precision fp32, tf32 False: ``a-s0``, ``a-s1``." in page
    assert "Trained with device cpu, precision bf16, tf32 False: ``b-s0``." in page
    assert "Seeds of the models: 0, 1. Seed of the attacks: 7." in page
    assert "gradients in bf16, clips are scored in fp32" in page


def test_a_model_that_took_no_epoch_has_nothing_to_state(tmp_path) -> None:
    (tmp_path / "shown.csv").write_text("epoch,loss,accuracy,learning_rate,selection_accuracy,parameters,run\n")
    assert "shown" not in opening_page([("shown-s0", tmp_path / "shown.csv")], {"seed": 3, "precision": "fp32"})
