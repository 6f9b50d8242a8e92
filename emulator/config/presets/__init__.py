"""Configurations with the published values of a technology, one module a family; each names its source.

A preset is a configuration with other defaults: ``ReRamESPreset(mapping=MappingParameter(...))``. All have
``PresetIOParameters`` for both directions and trains of up to 31 or 100 pulses with both kinds of management.
The modules are loaded one by one: a tile actor pays only for the family of its preset. What the learning
rules have in common is in ``cell_presets``, the values of the devices in ``kernels.devices.presets``.
"""
