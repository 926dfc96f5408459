"""Names of the files and folders in the results of a study, as paths relative to the results."""

from simclip.study.search.searchers.optuna import STORAGE

#: The study file, with every default filled in.
STUDY = "study.yaml"
#: One record per trial, `<trial>.jsonl`.
TRIALS = "trials"
#: Ending of a file beside a record of the confirm stage: which test queries, images or pairs the trial got right.
ITEMS = ".items.npz"
#: One log per trial, `<trial>.log`; each trial writes its own.
LOGS = "logs"

#: One folder per alpha, with a record and the test items of each trial that was interpolated with its base model.
INTERPOLATED = "interpolated"

#: The plan of the confirm stage, and every look that was taken.
LOOKS = "looks.jsonl"
#: The ranking, the verdict and what they were made on, for programs.
RESULTS = "results.json"
#: The training images that bad_images=skip left out, and why.
LEFT_OUT = "left-out.tsv"
#: One row per trial.
TABLE = "trials.csv"
#: The best configuration, with everything that is needed to run it again.
BEST = "best.yaml"
#: The page about the study.
REPORT = "report.html"

#: Model folder of the best arm on its first seed.
BEST_MODEL = "best"
#: Model folders of the leading trials.
MODELS = "models"
#: The checkpoint that each unfinished trial resumes from.
UNFINISHED = "unfinished"
#: Ray Tune's own files, and the checkpoints of running trials; deleted when the study ends.
TUNE = "tune"
#: Ray Train's own files of trials with several workers; deleted when the study ends.
TRAIN = "train"

#: Optuna's database of the search.
OPTUNA = STORAGE
#: TensorBoard's event files.
TENSORBOARD = "tensorboard"
