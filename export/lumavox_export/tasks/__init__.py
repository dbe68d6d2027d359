"""Tasks, one file each: the data section of a recipe, and what training, quantization and export need of it.

A task module has

    Data                        frozen dataclass of section [contents.data]
    Material(recipe, content, work)
        .batch(step)            CPU tensors of a step, rows first; a function of the step alone
        .loss(network, batch, teacher, share)   training loss, a mean over rows, on the batch's device
        .remember(teacher)      optional: makes the teacher's answers once; batches bring them then
        .validate(network)      figures to log, higher is better; the network takes and gives CPU tensors
        .workers                processes that make batches; 0 = a thread
    calibration(recipe, material, graph)      feeds for calibration
    golden(recipe, graph)       inputs of some calls, the last for the golden vector
    VARIANTS                    (format, precision) to bundle, in order of preference
    ranges(recipe, graph)       fixed real ranges of tensors
    front_end(recipe)           the bundle's front_end section
    delay(recipe)               the bundle's delay section
    knob(recipe, material, module)            optional: the bundle's calibration
"""
