"""The report of a study: what of a config it tells."""

from acsnet_jax.report.study import config_text
from configs import compare, evaluate


def test_folders_and_patterns_of_the_user_are_not_told():
    config = compare.get_config()
    for name in ("a", "b", "reference"):
        config[name] = f"exports/Mueller_Hans_{name}"
        config[f"pattern_{name}"] = "Mueller*"
    study = evaluate.get_config()
    study.data.root = "Mueller_Hans"
    for told in (config_text(config.to_dict()), config_text(study.to_dict())):
        assert told and "Mueller" not in " ".join(told.values())
    assert config_text(config.to_dict())["slices"] == "labelled"
