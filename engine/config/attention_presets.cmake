# Compiles configs/attention/*.json into the program: attention_presets.cc holds their text.
set(preset_names
  balanced
  cogvideo-5b-4steps
  cogvideo-5b-balanced
  cogvideo1.5-5b-balanced
  density-0.10
  density-0.15
  density-0.20
  density-0.30
  density-0.50
  fast
  plug-and-play
  quality
  uniform
  wan2.1-1.3b-balanced
  wan2.1-1.3b-topk
  wan2.1-14b-balanced
  wan2.2-5b-balanced
  wan2.2-a14b-balanced
)
set(preset_table "")
foreach(name IN LISTS preset_names)
  set(preset_file ${PROJECT_SOURCE_DIR}/configs/attention/${name}.json)
  file(READ ${preset_file} preset_text)
  string(APPEND preset_table "    {\"${name}\", R\"json(${preset_text})json\"},\n")
  # A changed preset runs this step again at the next build.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${preset_file})
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/attention_presets.cc.in
  ${CMAKE_CURRENT_BINARY_DIR}/attention_presets.cc @ONLY)
target_sources(psagen_engine PRIVATE attention_config.cc attention_override.cc automatic_attention.cc
  ${CMAKE_CURRENT_BINARY_DIR}/attention_presets.cc)
